// node resize_images.mjs IMAGE.js FOLDER: resizes the images of FOLDER/cases.json as the exported page does.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [script, folder] = process.argv.slice(2);
const { plain, fitted, scaled } = await import(pathToFileURL(script));

// Stands in for the browser: a canvas that "draws" an image by copying its rows of RGBA.
globalThis.document = {
  createElement: () => ({
    getContext: () => ({
      clearRect() {},
      drawImage(source, x, y) {
        this.source = source;
        this.top = -y;
      },
      getImageData(x, y, w, h) {
        return { data: this.source.subarray(4 * w * this.top, 4 * w * (this.top + h)) };
      },
    }),
  }),
};

for (const { name, width, height, model, fit } of JSON.parse(readFileSync(`${folder}/cases.json`))) {
  const rgba = new Uint8ClampedArray(readFileSync(`${folder}/${name}.rgba`));
  writeFileSync(`${folder}/${name}.fitted`, await fitted(rgba, [width, height], model, fit));
}
