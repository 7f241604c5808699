/** The well-known symbol, or where an engine has none the one that its polyfills use. */
const disposeSymbol: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/** Gives a class its `[Symbol.dispose]()`. As a class member it would be named "undefined" where the symbol is missing. */
export function defineDispose<T extends object>(of: { prototype: T }, dispose: (self: T) => void): void {
  Object.defineProperty(of.prototype, disposeSymbol, {
    value(this: T): void {
      dispose(this);
    },
    writable: true,
    configurable: true,
  });
}
