// The panel that runs the model: a file, a pasted or dropped image, the camera, or a drawing → the classes.

const element = (name) => document.getElementById(`try-${name}`);
const percent = (share) => {
  if (share > 0.9995 && share < 1) return ">99.9%";
  return share > 0 && share < 0.0005 ? "<0.1%" : `${(100 * share).toFixed(1)}%`;
};
const MOST_BARS = 5;
const FRAME = 200; // milliseconds between two images of the camera
const CAMERA = {
  NotAllowedError: "the browser or you did not allow it; some browsers never do for pages opened from a file",
  NotFoundError: "no camera was found",
  NotReadableError: "another program uses it",
};
let model, stream;
const names = [...element("rows").rows].map((row) => row.cells[0].textContent); // control characters are visible
let latest = 0; // the number of the newest image: slower results of older ones are dropped

function say(text, fault = false) {
  element("status").textContent = text;
  element("status").classList.toggle("fault", fault);
}

function make(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** Display the result for the pixels that the network gets, and return the name of the class. */
function classify(bytes, quiet = false) {
  const start = performance.now();
  const probabilities = model.classify(scaled(bytes, model));
  const time = performance.now() - start;
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  element("bars").replaceChildren(
    ...order.slice(0, MOST_BARS).map((k) => {
      const row = make("li");
      row.append(make("bdi", names[k]), make("span", percent(probabilities[k]), "value"), make("span", "", "bar"));
      row.lastChild.style.setProperty("--share", probabilities[k].toFixed(4));
      return row;
    }),
  );
  element("all").hidden = order.length <= MOST_BARS;
  [...element("rows").rows].forEach((row, k) => {
    row.cells[1].textContent = percent(probabilities[k]);
  });
  element("seen").hidden = false;
  paint(element("pixels"), bytes);
  element("result").hidden = false;
  element("remark").textContent = remark(bytes);
  element("remark").hidden = !element("remark").textContent;
  element("time").textContent = time < 0.1 ? "less than 0.1 ms" : `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
  const best = names[order[0]];
  if (!quiet) say(`${best}: ${percent(probabilities[order[0]])}`);
  element("result").dispatchEvent(new CustomEvent("classified", { detail: probabilities }));
  return best;
}

/** Draw the network's pixels. */
function paint(canvas, bytes) {
  const { width, height, channels } = model;
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k++)
    for (let c = 0; c < 4; c++) image.data[4 * k + c] = c === 3 ? 255 : bytes[k * channels + (channels === 1 ? 0 : c)];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Return a sentence if an image is much brighter or darker than the training images. */
function remark(bytes) {
  if (!model.seen) return "";
  const brightness = bytes.reduce((sum, value) => sum + value, 0) / bytes.length / 255;
  const { middle, limits, low } = model.seen;
  if (brightness >= limits[0] && brightness <= limits[1]) return "";
  const word = brightness > middle ? "brighter" : "darker";
  const mirrored = low >= -0.25 && 1 - brightness >= limits[0] && 1 - brightness <= limits[1];
  const short = (value) => (Math.abs(value) >= 0.01 ? value.toFixed(2) : value.toPrecision(1));
  return (
    `This image is much ${word} (${short(brightness)}) than the training images (${short(middle)}): ` +
    (mirrored ? "inverted?" : "scaled differently?")
  );
}

/** Classify an image file. */
async function classifyFile(file, others = 0) {
  const turn = ++latest;
  stopCamera();
  say(`Reading ${file.name}…`);
  try {
    const [bitmap, orientation] = await decoded(file);
    if (turn !== latest) return;
    const bytes = await fitted(bitmap, [bitmap.width, bitmap.height], model, model.fit, orientation);
    if (turn !== latest) return;
    preview(bitmap);
    bitmap.close();
    classify(bytes);
    element("status").parentElement.scrollIntoView({ block: "nearest" });
    if (others) say(`${element("status").textContent} (the first of ${others + 1} files: one at a time)`);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    if (turn === latest) refuse(`${file.name || "The image"}: ${error.message}.`);
  }
}

function refuse(text) {
  element("result").hidden = element("seen").hidden = true;
  say(text, true);
}

/** Show the original, small. */
function preview(bitmap) {
  const canvas = element("original");
  const scale = Math.min(1, 240 / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvas.parentElement.hidden = false;
}

// -- the camera -----------------------------------------------------------------------

async function camera() {
  if (stream) return stopCamera("Camera stopped.");
  const turn = ++latest;
  say("Waiting for the camera…");
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (turn !== latest) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
  } catch (error) {
    return say(`No camera: ${CAMERA[error.name] ?? error.message}.`, true);
  }
  const video = element("video");
  video.srcObject = stream;
  video.hidden = false;
  element("camera").textContent = "Stop camera";
  element("original").parentElement.hidden = true;
  await video.play();
  let spoken = "";
  while (stream && turn === latest) {
    const bytes = await fitted(video, [video.videoWidth, video.videoHeight], model, model.fit);
    if (!stream || turn !== latest) return;
    const name = classify(bytes, true);
    if (name !== spoken) say(name); // a screen reader reads only changes
    spoken = name;
    await new Promise((resolve) => setTimeout(resolve, FRAME));
  }
}

function stopCamera(text) {
  if (!stream) return;
  latest += text ? 1 : 0;
  stream.getTracks().forEach((track) => track.stop());
  stream = undefined;
  element("video").hidden = true;
  element("camera").textContent = "Camera";
  if (text) say(text);
}

// -- drawing --------------------------------------------------------------------------

/** Prepare the pad: light ink on dark, or the reverse, like the training images. */
function preparePad() {
  const pad = element("pad");
  const context = pad.getContext("2d", { willReadFrequently: true });
  const dark = pad.dataset.ink === "dark";
  const [paper, ink] = dark ? ["#fff", "#000"] : ["#000", "#fff"];
  const pen = element("pen");
  let at = [pad.width / 2, pad.height / 2];
  let down = false;
  let waiting = false;

  const clear = () => {
    latest++;
    Object.assign(context, { fillStyle: paper, strokeStyle: ink, lineCap: "round", lineJoin: "round" });
    context.lineWidth = Math.max(pad.width, pad.height) * 0.08;
    context.fillRect(0, 0, pad.width, pad.height);
  };
  const line = (to) => {
    stopCamera();
    context.beginPath();
    context.moveTo(...at);
    context.lineTo(...to);
    context.stroke();
    at = to;
  };
  const update = async (quiet) => {
    const turn = ++latest;
    waiting = false;
    const bytes = await drawn(pad, dark);
    if (turn !== latest || !bytes) return;
    element("original").parentElement.hidden = true;
    classify(bytes, quiet);
  };
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * pad.width) / box.width,
      ((event.clientY - box.top) * pad.height) / box.height,
    ];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    down = true;
    pen.hidden = true;
    at = place(event);
    line(at);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!down || !event.buttons) return;
    line(place(event));
    if (!waiting) requestAnimationFrame(() => update(true));
    waiting = true;
  });
  for (const kind of ["pointerup", "pointercancel"])
    pad.addEventListener(kind, () => {
      if (down) update(false);
      down = false;
    });
  const movePen = () => {
    pen.hidden = false;
    pen.classList.toggle("down", down);
    pen.style.left = `${(100 * at[0]) / pad.width}%`;
    pen.style.top = `${(100 * at[1]) / pad.height}%`;
  };
  pad.addEventListener("keydown", (event) => {
    const step = Math.max(pad.width, pad.height) / 20;
    const way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (way) {
      const to = [
        Math.min(pad.width, Math.max(0, at[0] + way[0])),
        Math.min(pad.height, Math.max(0, at[1] + way[1])),
      ];
      if (down) line(to);
      at = to;
      if (down) update(true);
    } else if (event.key === " ") {
      down = !down;
      if (down) line(at);
      update(false);
    } else if (event.key === "Delete" || event.key === "Backspace") element("clear").click();
    else return;
    event.preventDefault();
    movePen();
  });
  pad.addEventListener("blur", () => {
    pen.hidden = true;
    down = false;
  });
  element("clear").addEventListener("click", () => {
    clear();
    element("result").hidden = element("seen").hidden = true;
    say("The pad is empty.");
  });
  element("centered")?.addEventListener("change", () => update(false));
  clear();
}

/** Return the pixels of the drawing; null if it is empty. */
async function drawn(pad, dark) {
  const size = [pad.width, pad.height];
  if (!element("centered")?.checked) return fitted(pad, size, model, "stretch");
  return centered(pad, size, dark);
}

/** Scale the ink to 20 pixels and put its center of mass into the middle of 28, as MNIST was made. */
async function centered(pad, [w, h], dark) {
  const ink = (value) => (dark ? 255 - value : value);
  const { data } = pad.getContext("2d").getImageData(0, 0, w, h);
  let [left, top, right, bottom] = [w, h, 0, 0];
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      if (ink(data[4 * (y * w + x)]) > 127) {
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y + 1);
      }
  if (right <= left) return null;
  const { width: W, height: H } = model;
  const longest = Math.max(right - left, bottom - top);
  const box = Math.round((Math.min(W, H) * 20) / 28);
  const inner = [right - left, bottom - top].map((side) => Math.max(1, Math.round((side * box) / longest)));
  const small = await resized(bands(pad, w, h, 1), w, h, 1, [left, top, right, bottom], ...inner);
  let [sum, x, y] = [0, 0, 0];
  small.forEach((value, k) => {
    sum += ink(value);
    x += ink(value) * ((k % inner[0]) + 0.5);
    y += ink(value) * (Math.floor(k / inner[0]) + 0.5);
  });
  const place = [Math.round(W / 2 - x / sum), Math.round(H / 2 - y / sum)];
  return pasted(small.map(ink), inner, place, [W, H], 1).map(ink);
}

// -- the beginning --------------------------------------------------------------------

function bytesOf(base64) {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  return bytes;
}

function listen() {
  const take = (files) => files.length && classifyFile(files[0], files.length - 1);
  element("file").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = ""; // the same file may be chosen again
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
    else if (!event.target.closest?.("input, textarea")) say("There is no image in the clipboard.", true);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
    else refuse("That is not a file: save the image first, or copy and paste it.");
  });
  if (navigator.mediaDevices?.getUserMedia) {
    element("camera").hidden = false;
    element("camera").addEventListener("click", camera);
  } else element("no-camera").hidden = false;
  if (element("pad")) preparePad();
}

async function begin() {
  say("Loading the model…");
  try {
    model = await load(bytesOf(element("model").textContent));
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError) && typeof WebAssembly === "object") throw error;
    return say("This browser is too old for the model: it needs WebAssembly with SIMD (2023 or newer).", true);
  }
  model.classify(new Uint8Array(model.width * model.height * model.channels)); // compiles it
  listen();
  element("controls").hidden = false;
  say("Ready.");
}

begin().catch((error) => say(`The model cannot be loaded: ${error.message}`, true));
addEventListener("unhandledrejection", (event) => refuse(`An error of this page: ${event.reason?.message}`));
