import { byId } from './dom.ts';

const themes = ['system', 'light', 'dark'] as const;
const KEY = 'theme';

/** A button that goes round: as the system has it, light, dark. */
export function mountTheme(): void {
  const button = byId<HTMLButtonElement>('theme');
  let theme = themes.find((name) => name === localStorage.getItem(KEY)) ?? 'system';
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    dispatchEvent(new Event('themechange'));
  };
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    localStorage.setItem(KEY, theme);
    show();
  });
  show();
}
