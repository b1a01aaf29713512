// Runs a model that Layerline exported as WebAssembly: docs/export-web.md. Types are in the .d.ts file.

/** Load a model from the URL or the bytes of its .wasm file. */
export async function load(source) {
  let bytes = source;
  if (typeof source === "string" || source instanceof URL) {
    const answer = await fetch(source);
    if (!answer.ok) throw new Error(`${source}: ${answer.status} ${answer.statusText}`);
    bytes = await answer.arrayBuffer();
  }
  const module = await WebAssembly.compile(bytes);
  const [section] = WebAssembly.Module.customSections(module, "layerline");
  if (!section) throw new TypeError("not a model exported by Layerline");
  const card = JSON.parse(new TextDecoder().decode(section));
  const { run, memory, pixels, probabilities } = (await WebAssembly.instantiate(module)).exports;
  const size = card.height * card.width * card.channels;
  const input = new (card.type === "uint8" ? Uint8Array : Float32Array)(memory.buffer, pixels.value, size);
  const output = new Float32Array(memory.buffer, probabilities.value, card.classes.length);
  return {
    ...card,
    classify(image) {
      if (image.length !== size)
        throw new RangeError(`${image.length} values, expected ${card.height}×${card.width}×${card.channels}`);
      input.set(image);
      run();
      return output.slice();
    },
  };
}
