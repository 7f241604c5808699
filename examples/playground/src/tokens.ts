import { element } from './dom.ts';

/** The tokens as buttons in a row: one is shown (pointed at, focused or pinned), one is pinned. Arrow keys move between them. */
export function mountTokens(list: HTMLElement, show: (token: number) => void) {
  let pinned = 0;
  let shown = 0;
  let buttons: HTMLButtonElement[] = [];

  const preview = (token: number) => {
    shown = token;
    show(token);
  };
  const pin = (token: number) => {
    pinned = token;
    mark();
    preview(token);
  };
  /** One of the buttons is in the order of Tab: the arrow keys reach the others. */
  const mark = (reachable = pinned) => {
    buttons.forEach((button, t) => {
      button.ariaPressed = `${t === pinned}`;
      button.tabIndex = t === reachable ? 0 : -1;
    });
  };
  const at = (event: Event) => buttons.indexOf((event.target as Element).closest('button') as HTMLButtonElement);

  list.addEventListener('pointerover', (event) => at(event) >= 0 && preview(at(event)));
  list.addEventListener('pointerleave', () => preview(pinned));
  list.addEventListener('focusin', (event) => {
    mark(at(event));
    preview(at(event));
  });
  list.addEventListener('focusout', () => {
    mark();
    preview(pinned);
  });
  list.addEventListener('click', (event) => at(event) >= 0 && pin(at(event)));
  list.addEventListener('keydown', (event) => {
    const last = buttons.length - 1;
    const token = at(event);
    const targets: Record<string, number> = { ArrowRight: token + 1, ArrowLeft: token - 1, Home: 0, End: last };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    buttons[Math.min(Math.max(target, 0), last)].focus();
  });

  return {
    set(tokens: readonly string[]): void {
      if (tokens.join('\n') === buttons.map((button) => button.textContent).join('\n')) return;
      buttons = tokens.map((token) => element('button', { type: 'button' }, token));
      list.replaceChildren(...buttons.map((button) => element('li', {}, button)));
      pinned = 0;
      shown = 0;
      mark();
    },
    /** Colours the tokens by the weights that the shown one gives them. */
    shade(weights: Float32Array): void {
      const most = Math.max(...weights);
      buttons.forEach((button, t) => {
        button.style.setProperty('--share', `${most > 0 ? weights[t] / most : 0}`);
        button.classList.toggle('shown', t === shown);
      });
    },
    shown: () => shown,
    pin,
  };
}
