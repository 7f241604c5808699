import type { Kind, Measurement, Training } from './experiment.ts';

const kinds: Kind[] = ['LSTM', 'attention'];

function find(found: readonly Measurement[], kind: Kind, training: Training, position: number) {
  return found.find((m) => m.kind === kind && m.training === training && m.position === position);
}

const percent = (m: Measurement | undefined) => (m ? `${(100 * m.accuracy).toFixed(0)} %` : '–').padStart(7);
const size = (m: Measurement | undefined) => (m ? m.gradient.toExponential(1) : '–').padStart(9);

/** A line a position: |∂logit/∂x₁| before and after training, and the share of right verbs. */
export function table(found: readonly Measurement[]): string[] {
  const positions = [...new Set(found.map(({ position }) => position))];
  const head = ['gradient, untrained', 'trained near', 'right, near', 'right, there'];
  return kinds.flatMap((kind) => [
    `${kind.padEnd(9)}  verb at  ${head.join('  ')}`,
    ...positions.map((position) => {
      const [untrained, near, there] = (['untrained', 'near', 'there'] as const).map((training) =>
        find(found, kind, training, position),
      );
      return `${''.padEnd(9)}${String(position).padStart(9)}${size(untrained).padStart(21)}${size(near).padStart(14)}${percent(near).padStart(13)}${percent(there).padStart(14)}`;
    }),
  ]);
}

/** Whether the subject at position 1 reaches the verb at `position`, in words. */
export function answer(found: readonly Measurement[], position: number): string[] {
  const lines = kinds.map((kind) => {
    const [near, there] = (['near', 'there'] as const).map((training) => find(found, kind, training, position)!);
    const learnt = there.accuracy > 0.9 ? 'learns it there' : 'does not learn it there';
    return `  ${kind}: its gradient reaches back with ${near.gradient.toExponential(1)}; it ${learnt} (${percent(there).trim()} right), trained near it is ${percent(near).trim()} right.`;
  });
  return [`Does the subject at position 1 reach the verb at position ${position}?`, ...lines];
}
