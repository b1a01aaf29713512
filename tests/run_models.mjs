// node run_models.mjs MODEL.js FOLDER NAME…: runs FOLDER/NAME.wasm on the images in NAME.pixels, writes NAME.found.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [script, folder, ...names] = process.argv.slice(2);
const { load } = await import(pathToFileURL(script));
const times = {};
for (const name of names) {
  const model = await load(readFileSync(`${folder}/${name}.wasm`));
  const bytes = readFileSync(`${folder}/${name}.pixels`);
  const Pixels = model.type === "uint8" ? Uint8Array : Float32Array;
  const pixels = new Pixels(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const size = model.height * model.width * model.channels;
  const found = [];
  for (let at = 0; at < pixels.length; at += size) found.push(...model.classify(pixels.subarray(at, at + size)));
  writeFileSync(`${folder}/${name}.found`, Float32Array.from(found));
  if (process.env.TIMED) times[name] = time(model, pixels.subarray(0, size));
}
console.log(JSON.stringify(times));

/** Return the best of nine rounds of 50 ms, in µs per image. */
function time(model, image) {
  const rounds = [];
  for (let round = 0; round < 9; round++) {
    const start = performance.now();
    let count = 0;
    for (; performance.now() - start < 50; count++) model.classify(image);
    rounds.push((1000 * (performance.now() - start)) / count);
  }
  return Math.min(...rounds);
}
