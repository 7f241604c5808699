import { swapMiddle } from '../data.ts';
import { DoesNotApply, type Loaded } from './contender.ts';

const LARGEST_SCORES = 2 ** 27;

/** jax-js on its WebAssembly backend: `nn.dotProductAttention`, jitted. */
export async function jaxJs(): Promise<Loaded> {
  const system = 'jax-js';
  const { defaultDevice, init, jit, nn, numpy } = await import('@jax-js/jax');
  await init('wasm');
  defaultDevice('wasm');
  return {
    system,
    contenders: [
      {
        system,
        way: 'dotProductAttention',
        async prepare(shape, inputs) {
          const { batch, heads, kvHeads, queries, keys, headDim, causal, window } = shape;
          if (causal && queries !== keys) throw new DoesNotApply('causal is top-left');
          if (kvHeads !== heads && queries > 1) throw new DoesNotApply('grouped heads: over half a minute a call');
          if (window) throw new DoesNotApply('its window is a dense mask');
          if (batch * heads * queries * keys > LARGEST_SCORES) throw new DoesNotApply('scores over 512 MB');
          const upload = (data: Float32Array, count: number, length: number) =>
            numpy.array(swapMiddle(data, batch, count, length), { shape: [batch, length, count, headDim] });
          const query = upload(inputs.query, heads, queries);
          const key = upload(inputs.key, kvHeads, keys);
          const value = upload(inputs.value, kvHeads, keys);
          type Operand = typeof query;
          const attend = jit((q: Operand, k: Operand, v: Operand) =>
            nn.dotProductAttention(q, k, v, { isCausal: causal ?? false }),
          );
          let result: Float32Array;
          return {
            async run() {
              // A call consumes its arguments: `ref` keeps them.
              result = (await attend(query.ref, key.ref, value.ref).data()) as Float32Array;
            },
            output: () => swapMiddle(result, batch, queries, heads),
            release() {
              for (const array of [query, key, value]) array.dispose();
              attend.dispose();
            },
          };
        },
      },
    ],
  };
}
