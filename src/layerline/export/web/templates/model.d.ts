/** A model that Layerline exported as WebAssembly. */
export interface Model {
  /** The name of the network. */
  readonly name: string;
  /** The names of the classes, in the order of the probabilities. */
  readonly classes: readonly string[];
  /** The size of the images. */
  readonly height: number;
  readonly width: number;
  /** 1: gray; 3: red, green, blue. */
  readonly channels: number;
  /** The type of a pixel's values. */
  readonly type: "uint8" | "float32";
  /** White; black is 0. */
  readonly maximum: number;
  /** How images of another shape were fitted to the size in training. */
  readonly fit: "crop" | "pad" | "stretch";
  /** 16: the training images had 16 bits per value. */
  readonly bits: 8 | 16;
  /** The version of Layerline that exported the model. */
  readonly layerline: string;
  /** The brightness of the training images, divided by `maximum`. */
  readonly seen: null | {
    readonly mean: readonly number[];
    readonly deviation: readonly number[];
    readonly spread: number;
    readonly low: number;
    readonly high: number;
    readonly middle: number;
    readonly limits: readonly [number, number];
  };
  /**
   * Return the probability of each class.
   * @param image height × width × channels values: row by row, the channels of a pixel together
   */
  classify(image: ArrayLike<number>): Float32Array;
}

/**
 * Load a model.
 * @param source the URL of its .wasm file, or the bytes of that file
 */
export function load(source: string | URL | ArrayBuffer | ArrayBufferView): Promise<Model>;
