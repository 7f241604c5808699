type Edits = [string, number, number][];

declare module '*/attention.json' {
  const kernels: { simd: string; relaxed: Edits };
  export default kernels;
}

declare module '*/whole.json' {
  const kernels: { simd: Edits; relaxed: Edits };
  export default kernels;
}

declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

declare module '*.wasm?module' {
  const module: WebAssembly.Module;
  export default module;
}
