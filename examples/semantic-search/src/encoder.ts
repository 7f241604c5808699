import {
  type AttentionOptions,
  attentionWeights,
  linear,
  RotaryEmbedding,
  type Runtime,
  scaledDotProductAttention,
  sinusoidalEncoding,
  type Tensor,
} from 'wasm-attention';
import { add, layerNorm, mapInPlace, meanOfTokens, normalise, relu } from './elementwise.ts';
import type { Weight } from './manifest.ts';

export const LAYERS = 2;
export const HEADS = 4;
/** The graph drops what comes after (its node ClipToMaxLength). */
export const MAX_TOKENS = 128;
const WIDTH = 256;

type Dense = { weight: Tensor; bias: Tensor };
type Norm = { scale: Float32Array; bias: Float32Array };
type Layer = { norm: Norm; qkv: Dense; output: Dense; shortcut?: Dense; ffnNorm: Norm; conv1: Dense; conv2: Dense };

/** A call of attention: query and key [batch, tokens, heads, headDim]. */
export type AttentionCall = { query: Tensor; key: Tensor; options: AttentionOptions };

/** Gets the weights of layer `layer`, [batch, heads, queries, keys], and what they were computed from; valid during the call. */
export type AttentionObserver = (layer: number, weights: Tensor, call: AttentionCall) => void;

/** What the model was not trained with, to see what it does. */
export type Experiment = Pick<AttentionOptions, 'mask' | 'alibiSlopes'> & {
  /** Whether the encoding that the model was trained with is added; default true. */
  sinusoidal?: boolean;
  /** Whether queries and keys are turned by their positions; default false. */
  rotary?: boolean;
};

/**
 * Universal Sentence Encoder Lite (Cer et al. 2018, arXiv:1803.11175, its Transformer): two pre-norm Transformer
 * layers of 4 heads, the first 256 wide and the second 512, the mean over the tokens, a tanh layer, length 1.
 */
export class SentenceEncoder {
  #embeddings: Float32Array;
  #layers: Layer[];
  #head: Dense;

  constructor(
    readonly runtime: Runtime,
    weights: ReadonlyMap<string, Weight>,
  ) {
    const read = readerOf(runtime, weights);
    this.#embeddings = read.data('module/Embeddings_en');
    this.#layers = Array.from({ length: LAYERS }, (_, layer) => readLayer(read, layer));
    const tanh = 'module/Encoder_en/hidden_layers/tanh_layer_0';
    this.#head = read.dense(`${tanh}/weights`, `${tanh}/bias`);
  }

  /** Token ids of each sentence → [sentences, 512], rows of length 1; sentences of any lengths in one call. */
  embed(sentences: readonly (readonly number[])[], observe?: AttentionObserver, experiment: Experiment = {}): Tensor {
    const ids = sentences.map((sentence) => sentence.slice(0, MAX_TOKENS));
    const lengths = ids.map((sentence) => sentence.length);
    return this.runtime.scope(() => {
      let x = this.#input(ids, Math.max(1, ...lengths), experiment.sinusoidal ?? true);
      this.#layers.forEach((layer, index) => {
        x = this.#attention(x, layer, lengths, experiment, observe && ((...call) => observe(index, ...call)));
        x = this.#feedForward(x, layer);
      });
      const { weight, bias } = this.#head;
      return normalise(mapInPlace(linear(meanOfTokens(x, lengths), weight, bias), Math.tanh));
    });
  }

  /** 2·embedding + position: the graph adds the embedding to what its AddTimingSignal, which has added it, returns. */
  #input(ids: readonly (readonly number[])[], tokens: number, sinusoidal: boolean): Tensor {
    const x = this.runtime.zeros([ids.length, tokens, WIDTH]);
    const { data } = x;
    ids.forEach((sentence, b) => {
      sentence.forEach((id, t) => {
        const row = this.#embeddings.subarray(id * WIDTH, (id + 1) * WIDTH);
        for (let c = 0; c < WIDTH; c++) data[(b * tokens + t) * WIDTH + c] = 2 * row[c];
      });
    });
    if (!sinusoidal) return x;
    return add(x, sinusoidalEncoding(this.runtime, { length: tokens, dim: WIDTH, layout: 'concatenated' }));
  }

  /** `x + MultiHead(LayerNorm(x))`; where the width changes, a linear map takes the place of the first `x`. */
  #attention(
    x: Tensor,
    layer: Layer,
    keyLengths: number[],
    { mask, alibiSlopes, rotary }: Experiment,
    observe?: (weights: Tensor, call: AttentionCall) => void,
  ): Tensor {
    const { norm, qkv, output, shortcut } = layer;
    const [batch, tokens, width] = x.shape;
    const normed = layerNorm(x, norm.scale, norm.bias);
    const [query, key, value] = [0, 1, 2].map((part) =>
      linear(normed, qkv.weight.slice(part * width, width), qkv.bias.slice(part * width, width)).view([
        batch,
        tokens,
        HEADS,
        width / HEADS,
      ]),
    );
    if (rotary) {
      const rotation = new RotaryEmbedding(this.runtime, { headDim: width / HEADS });
      for (const turned of [query, key]) rotation.apply(turned, { layout: 'bshd' });
    }
    const options = { layout: 'bshd', keyLengths, queryOffset: 0, mask, alibiSlopes } as const;
    observe?.(attentionWeights(query, key, options), { query, key, options });
    const heads = scaledDotProductAttention(query, key, value, options).view(x.shape);
    return add(linear(heads, output.weight, output.bias), shortcut ? linear(x, shortcut.weight, shortcut.bias) : x);
  }

  /** `x + W₂·relu(W₁·LayerNorm(x) + b₁) + b₂` */
  #feedForward(x: Tensor, { ffnNorm, conv1, conv2 }: Layer): Tensor {
    const hidden = relu(linear(layerNorm(x, ffnNorm.scale, ffnNorm.bias), conv1.weight, conv1.bias));
    return add(linear(hidden, conv2.weight, conv2.bias), x);
  }
}

type Reader = ReturnType<typeof readerOf>;

function readerOf(runtime: Runtime, weights: ReadonlyMap<string, Weight>) {
  const get = (name: string): Weight => {
    const weight = weights.get(name);
    if (!weight) throw new Error(`the model has no weight ${name}`);
    return weight;
  };
  const data = (name: string) => get(name).data;
  const vector = (name: string) => runtime.tensor([data(name).length], data(name));
  /** TensorFlow's kernels are [in, out], with leading 1s for a convolution; `linear` takes [out, in]. */
  const matrix = (name: string): Tensor => {
    const { shape, data } = get(name);
    const [rows, columns] = shape.slice(-2);
    const transposed = new Float32Array(data.length);
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) transposed[c * rows + r] = data[r * columns + c];
    return runtime.tensor([columns, rows], transposed);
  };
  return {
    data,
    dense: (kernel: string, bias: string): Dense => ({ weight: matrix(kernel), bias: vector(bias) }),
  };
}

/** By the names of the frozen graph: some variables kept their own, others have that of the node that read them. */
function readLayer({ data, dense }: Reader, layer: number): Layer {
  const encode = 'Encoder_en/KonaTransformer/Encode';
  const variable = `module/${encode}/Layer_${layer}/TransformerLayer`;
  const merged = `module_apply_default/${encode}/Layer_${layer}/TransformerLayer`;
  const node = `module_apply_default/${encode}/TransformerStack/Layer_${layer}/TransformerLayer`;
  const norm = (path: string): Norm => ({
    scale: data(`${path}/layer_norm/layer_norm_scale/ConcatPartitions/concat`),
    bias: data(`${path}/layer_norm/layer_norm_bias/ConcatPartitions/concat`),
  });
  const transform = (name: string) =>
    dense(
      `${variable}/MultiheadAttention/${name}/kernel/part_0`,
      `${merged}/MultiheadAttention/${name}/bias/ConcatPartitions/concat`,
    );
  const conv = (name: string) =>
    dense(`${node}/FFN/${name}/Tensordot/Reshape_1`, `${merged}/FFN/${name}/bias/ConcatPartitions/concat`);
  return {
    norm: norm(`${merged}/layer_prepostprocess`),
    qkv: transform('qkv_transform_single'),
    output: transform('output_transform_single'),
    shortcut:
      layer === 0
        ? dense(`${merged}/dense/kernel/ConcatPartitions/concat`, `${merged}/dense/bias/ConcatPartitions/concat`)
        : undefined,
    ffnNorm: norm(`${merged}/FFN/layer_prepostprocess`),
    conv1: conv('conv1'),
    conv2: conv('conv2'),
  };
}
