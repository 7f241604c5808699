import type { Tensor } from '../tensor.ts';

/** Reports tensors that were garbage collected before `dispose`, each place of the program once. */
export class Leaks {
  readonly #places = new Set<string>();
  readonly #registry =
    typeof FinalizationRegistry === 'undefined'
      ? undefined
      : new FinalizationRegistry<string>((made) => this.#report(made));

  watch(tensor: Tensor<'float32' | 'int32' | 'boolean'>): void {
    const frames = new Error().stack?.split('\n').slice(3).join('\n');
    this.#registry?.register(tensor, `${tensor.dtype} [${tensor.shape}] made\n${frames}`, tensor);
  }

  forget(tensor: Tensor<'float32' | 'int32' | 'boolean'>): void {
    this.#registry?.unregister(tensor);
  }

  #report(made: string): void {
    if (this.#places.has(made)) return;
    this.#places.add(made);
    console.warn(`wasm-attention: a tensor was never disposed, its memory is lost: ${made}`);
  }
}
