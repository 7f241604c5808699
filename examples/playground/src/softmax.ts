import { attentionWeights, type Runtime } from 'wasm-attention';
import { byId, element } from './dom.ts';

const scores = [2, 1, -1];

/** Three scores and the weights that the softmax makes of them. */
export function mountSoftmax(runtime: Runtime): void {
  const sliders = scores.map((score, i) => {
    const input = element('input', { type: 'range', min: -4, max: 4, step: 0.1, value: score, id: `score-${i}` });
    const value = element('output', { for: `score-${i}` });
    const weight = element('output', { for: `score-${i}`, class: 'weight' });
    const bar = element('span', { class: 'bar' });
    const label = element('label', { for: `score-${i}` }, `Score ${i + 1}: `, value);
    byId('softmax').append(element('div', {}, label, input, element('p', {}, 'weight ', weight, bar)));
    return { input, value, weight, bar };
  });
  // With a query of 1 and a scale of 1, a key is its own score.
  const show = () =>
    runtime.scope(() => {
      const keys = sliders.map(({ input }) => Number(input.value));
      const query = runtime.tensor([1, 1, 1, 1], [1]);
      const weights = attentionWeights(query, runtime.tensor([1, 1, keys.length, 1], keys), { scale: 1 }).toArray();
      sliders.forEach(({ value, weight, bar }, i) => {
        value.textContent = keys[i].toFixed(1);
        weight.textContent = weights[i].toFixed(3);
        bar.style.setProperty('--share', `${weights[i]}`);
      });
    });
  for (const { input } of sliders) input.addEventListener('input', show);
  show();
}
