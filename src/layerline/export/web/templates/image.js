// Images of any kind and size → the pixels that the network expects, computed like those of its training images.

const MOST_BYTES = 2 ** 28;
const MOST_PIXELS = 80_000_000;
const LONGEST_SIDE = 16_384; // browsers cannot draw wider images
const BAND = 2 ** 20; // pixels that are converted at once
const BITS = 22; // of Pillow's weights
const MARGIN = 1.5; // how much larger than needed a JPEG was at least decoded
const KINDS = "JPEG, PNG, WebP, GIF, BMP or AVIF";

class ImageError extends Error {}

/** Return what the header of an image file declares, so that a huge one is never decoded: its size, of a JPEG its EXIF
 * orientation, and whether it is HEIC, as iPhones take photos. */
async function declared(file) {
  const head = new DataView(await file.slice(0, 2 ** 16).arrayBuffer());
  const text = (at, length) =>
    head.byteLength < at + length ? "" : String.fromCharCode(...new Uint8Array(head.buffer, at, length));
  const size = {
    "\x89PNG": () => [head.getUint32(16), head.getUint32(20)],
    GIF8: () => [head.getUint16(6, true), head.getUint16(8, true)],
    RIFF: () => webpSize(head, text(12, 4)),
  }[text(0, 4)];
  try {
    if (text(0, 2) === "\xff\xd8") return await jpegHeader(file);
    if (size) return { size: size() };
    if (text(0, 2) === "BM") return { size: bmpSize(head) };
    if (text(4, 4) === "ftyp") return { size: avifSize(head), heic: text(8, 2) === "he" };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a header that ends too early
    throw new ImageError("it is truncated");
  }
  throw new ImageError(`it is not an image that this page can read (${KINDS})`);
}

function webpSize(head, kind) {
  const size24 = (at) => 1 + head.getUint16(at, true) + head.getUint8(at + 2) * 65536;
  if (kind === "VP8X") return [size24(24), size24(27)];
  if (kind === "VP8 ") return [head.getUint16(26, true) & 0x3fff, head.getUint16(28, true) & 0x3fff];
  const bits = head.getUint32(21, true);
  return [1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)];
}

function bmpSize(head) {
  if (head.getUint32(14, true) === 12) return [head.getUint16(18, true), head.getUint16(20, true)];
  return [head.getInt32(18, true), Math.abs(head.getInt32(22, true))];
}

async function jpegHeader(file) {
  let turn = 1;
  for (let at = 2; at < file.size; ) {
    const part = new DataView(await file.slice(at, at + 9).arrayBuffer());
    const marker = part.getUint8(1);
    if (part.getUint8(0) !== 0xff) break;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { size: [part.getUint16(7), part.getUint16(5)], turn };
    if (marker === 0xe1) turn = orientation(await file.slice(at + 4, at + 2 + part.getUint16(2)).arrayBuffer()) ?? turn;
    at += marker === 0xff ? 1 : 2 + part.getUint16(2);
  }
  throw new ImageError("it is a damaged JPEG");
}

/** Return the orientation in an EXIF block, 1 to 8; undefined if there is none. */
function orientation(block) {
  const exif = new DataView(block, Math.min(6, block.byteLength));
  try {
    if (new DataView(block).getUint32(0) !== 0x45786966 /* Exif */) return undefined;
    const little = exif.getUint16(0) === 0x4949;
    const start = exif.getUint32(4, little);
    for (let k = 0; k < exif.getUint16(start, little); k++) {
      const at = start + 2 + 12 * k;
      if (exif.getUint16(at, little) === 0x0112) return exif.getUint16(at + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a broken block does not make the pixels wrong
  }
  return undefined;
}

function avifSize(head) {
  let largest = [0, 0];
  for (let at = 8; at + 16 <= head.byteLength; at++)
    if (head.getUint32(at) === 0x69737065 /* ispe */) {
      const found = [head.getUint32(at + 8), head.getUint32(at + 12)];
      if (found[0] * found[1] > largest[0] * largest[1]) largest = found;
    }
  if (!largest[0]) throw new ImageError("it is an AVIF without a size");
  return largest;
}

/**
 * Decode an image file, upright, without converting its colors: training ignored color profiles, too.
 * Returns the bitmap and, of a JPEG, its orientation.
 */
async function decoded(file) {
  if (file.size > MOST_BYTES)
    throw new ImageError(`it has ${Math.round(file.size / 1e6).toLocaleString("en")} MB; at most 268 MB are read`);
  const { size, turn, heic } = await declared(file);
  const [width, height] = size;
  const reads = `it has ${width.toLocaleString("en")}×${height.toLocaleString("en")} pixels`;
  if (width * height > MOST_PIXELS) throw new ImageError(`${reads}; at most 80 million are read`);
  if (Math.max(width, height) > LONGEST_SIDE) throw new ImageError(`${reads}; browsers draw at most 16,384 in a row`);
  try {
    return [await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" }), turn];
  } catch {
    throw new ImageError(`this browser cannot decode it; ${heic ? "save the HEIC photo as JPEG" : "it may be damaged"}`);
  }
}

/**
 * Return the pixels of what a canvas can draw, height × width × channels bytes.
 * fit: crop, pad or stretch; size: of the source, [width, height]; turn: the orientation of a JPEG, else undefined.
 */
async function fitted(source, [w, h], { width: W, height: H, channels }, fit, turn) {
  const by = turn ? reduction([w, h], [W, H], fit) : 1;
  const [left, top] = gaps([w, h], by, turn);
  const full = bands(source, w, h, channels);
  const rows = by > 1 ? reduced(full, w, h, channels, by, left, top) : full;
  const whole = [Math.ceil(w / by), Math.ceil(h / by)];
  const begin = [left / by, top / by];
  const picture = [w / by, h / by];
  const resize = (box, ...to) => resized(rows, ...whole, channels, box, ...to);
  const end = [begin[0] + picture[0], begin[1] + picture[1]];
  if (fit === "stretch" || (picture[0] === W && picture[1] === H)) return resize([...begin, ...end], W, H);
  if (fit === "crop") {
    const scale = Math.max(H / picture[1], W / picture[0]);
    const x = begin[0] + Math.max(0, (picture[0] - W / scale) / 2);
    const y = begin[1] + Math.max(0, (picture[1] - H / scale) / 2);
    return resize([x, y, Math.min(end[0], x + W / scale), Math.min(end[1], y + H / scale)], W, H);
  }
  const scale = Math.min(H / picture[1], W / picture[0]);
  const inner = picture.map((side, k) => Math.min([W, H][k], Math.max(1, Math.floor(side * scale + 0.5))));
  const image = await resize([...begin, ...end], ...inner);
  return pasted(image, inner, [Math.floor((W - inner[0]) / 2), Math.floor((H - inner[1]) / 2)], [W, H], channels);
}

/** Return to which part of its size training decoded a JPEG: 1, or a half, a quarter, an eighth as 2, 4, 8. */
function reduction([w, h], [W, H], fit) {
  let needed = [Math.min(w, Math.ceil(W * MARGIN)), Math.min(h, Math.ceil(H * MARGIN))];
  if (fit !== "stretch") {
    const scale = Math.min(1, (fit === "crop" ? Math.max : Math.min)(H / h, W / w) * MARGIN);
    needed = [Math.ceil(w * scale), Math.ceil(h * scale)];
  }
  const times = Math.min(Math.floor(w / needed[0]), Math.floor(h / needed[1]));
  return [8, 4, 2].find((by) => times >= by) ?? 1;
}

/** Return the pixels that a reduced image lacks at the left and the top: blocks begin where the file of a JPEG does. */
function gaps([w, h], by, turn) {
  const right = [2, 3, 7, 8].includes(turn); // the first stored column is at the right, or turned, at the bottom
  const below = [3, 4, 6, 7].includes(turn);
  const turned = turn >= 5;
  return [(turned ? below : right) ? (by - (w % by)) % by : 0, (turned ? right : below) ? (by - (h % by)) % by : 0];
}

/** Reduce an image as the decoder of a JPEG does: each pixel is the mean of by × by pixels; yields rows. */
async function* reduced(bands, w, h, channels, by, left, top) {
  const sums = new Uint16Array(Math.ceil(w / by) * channels);
  const right = (sums.length / channels) * by - w - left; // what is missing has the color of the edge
  const bottom = Math.ceil(h / by) * by - h - top;
  for await (const [start, rows] of bands)
    for (let y = start, at = 0; at < rows.length; y++, at += w * channels) {
      const times = 1 + (y === 0 ? top : 0) + (y === h - 1 ? bottom : 0);
      for (let x = 0; x < w; x++) {
        const weight = times * (1 + (x === 0 ? left : 0) + (x === w - 1 ? right : 0));
        const to = Math.floor((x + left) / by) * channels;
        for (let c = 0; c < channels; c++) sums[to + c] += weight * rows[at + x * channels + c];
      }
      if ((y + top + 1) % by === 0 || y === h - 1) {
        yield [Math.floor((y + top) / by), Uint8Array.from(sums, (sum) => Math.floor(sum / by ** 2 + 0.5))];
        sums.fill(0);
      }
    }
}

/** Put an image onto a black one. */
function pasted(image, [w, h], [left, top], [W, H], channels) {
  const paper = new Uint8Array(W * H * channels);
  for (let y = Math.max(0, -top); y < Math.min(h, H - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(w, W - left); x++)
      for (let c = 0; c < channels; c++)
        paper[((y + top) * W + x + left) * channels + c] = image[(y * w + x) * channels + c];
  return paper;
}

/** Yield bands of whole rows, [first row, bytes], over white, as gray or RGB. */
async function* bands(source, w, h, channels) {
  const rows = Math.min(h, Math.max(1, Math.floor(BAND / w)));
  const canvas = Object.assign(document.createElement("canvas"), { width: w, height: rows });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < h; top += rows) {
    if (top) await new Promise((resolve) => setTimeout(resolve)); // the page stays responsive
    context.clearRect(0, 0, w, rows);
    context.drawImage(source, 0, -top);
    yield [top, plain(context.getImageData(0, 0, w, Math.min(rows, h - top)).data, channels)];
  }
}

/** Return RGBA composited over white, as gray or RGB, by Pillow's formulas. */
function plain(data, channels) {
  const out = new Uint8Array((data.length / 4) * channels);
  for (let from = 0, to = 0; from < data.length; from += 4, to += channels) {
    const alpha = data[from + 3];
    const r = overWhite(data[from], alpha);
    const g = overWhite(data[from + 1], alpha);
    const b = overWhite(data[from + 2], alpha);
    if (channels === 1) out[to] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    else {
      out[to] = r;
      out[to + 1] = g;
      out[to + 2] = b;
    }
  }
  return out;
}

function overWhite(value, alpha) {
  if (alpha === 255) return value;
  const sum = 255 * (255 - alpha) + value * alpha + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Resize as BILINEAR of Pillow 13: a triangle filter that is antialiased, along rows and columns in its order. */
async function resized(bands, w, h, channels, box, W, H) {
  const [left, top, right, bottom] = box.map(Math.fround);
  const across = W !== w || left || right !== W ? filter(w, left, right, W) : null;
  const down = H !== h || top || bottom !== H ? filter(h, top, bottom, H) : null;
  const columnsFirst = down && (!across || h - H > 2 * (w - W));
  const half = await (columnsFirst ? columnsOf(bands, w * channels, down) : rowsOf(bands, w, h, channels, across, W));
  if (columnsFirst ? !across : !down) return half;
  const out = new Uint8Array(W * H * channels);
  if (!columnsFirst) along(down, half, 0, W * channels, W * channels, out, 0);
  else
    for (let y = 0; y < H; y++) along(across, half, y * w * channels, channels, channels, out, y * W * channels);
  return out;
}

/** Filter along rows, or only put the bands together. */
async function rowsOf(bands, w, h, channels, across, W) {
  const out = new Uint8Array(h * W * channels);
  for await (const [start, rows] of bands) {
    if (!across) out.set(rows, start * w * channels);
    else
      for (let at = 0, y = start; at < rows.length; at += w * channels, y++)
        along(across, rows, at, channels, channels, out, y * W * channels);
  }
  return out;
}

/** Filter along columns, band by band. */
async function columnsOf(bands, width, down) {
  const sums = new Int32Array(down.length * width).fill(2 ** (BITS - 1));
  for await (const [start, rows] of bands)
    for (let at = 0, y = start; at < rows.length; at += width, y++)
      down.forEach(({ first, weights }, k) => {
        const weight = weights[y - first];
        if (weight) for (let i = 0; i < width; i++) sums[k * width + i] += weight * rows[at + i];
      });
  return Uint8Array.from(sums, (sum) => Math.min(255, sum >> BITS));
}

/** Apply a filter to inputs that are `step` elements apart and have `count` values each; the outputs are as well. */
function along(filter, input, begin, step, count, out, at) {
  for (const { first, weights } of filter) {
    for (let c = 0; c < count; c++, at++) {
      let sum = 2 ** (BITS - 1);
      for (let i = 0, place = begin + first * step + c; i < weights.length; i++, place += step)
        sum += weights[i] * input[place];
      out[at] = Math.min(255, sum >> BITS);
    }
  }
}

/** Return, for each of `count` outputs, its first input and the integer weights of its inputs. */
function filter(size, from, to, count) {
  const scale = Math.fround(to - from) / count;
  const support = Math.max(scale, 1);
  return Array.from({ length: count }, (_, k) => {
    const center = from + (k + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(size, Math.trunc(center + support + 0.5));
    const heights = [];
    for (let x = 0; x < end - first; x++)
      heights.push(Math.max(0, 1 - Math.abs((x + first - center + 0.5) * (1 / support))));
    const total = heights.reduce((sum, each) => sum + each, 0);
    const weights = heights.map((each) => Math.trunc(0.5 + (each / total) * 2 ** BITS));
    return { first, weights: Int32Array.from(weights) };
  });
}

/** Bring bytes to the scale of the training images. */
function scaled(bytes, { type, maximum, bits }) {
  if (type === "uint8") return bytes;
  if (bits === 16) return Float32Array.from(bytes, (value) => halfToEven(value * (maximum / 255)));
  const factor = Math.fround(maximum / 255);
  return Float32Array.from(bytes, (value) => value * factor);
}

function halfToEven(value) {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 ? near - 1 : near;
}
