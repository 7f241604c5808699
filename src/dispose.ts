/** The well-known symbol, or where an engine has none the one that its polyfills use. */
const disposeSymbol: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/**
 * What `using` disposes of. A method `[Symbol.dispose]` would be called "undefined" where the symbol is missing; and only in one class,
 * which all others extend, since no bundler drops one whose names it cannot tell.
 */
export abstract class Disposing {
  abstract dispose(): void;

  /** Whether `dispose` would free something and not throw. */
  protected abstract get held(): boolean;

  /** `dispose`, once: for `using`. */
  [disposeSymbol](): void {
    if (this.held) this.dispose();
  }
}
