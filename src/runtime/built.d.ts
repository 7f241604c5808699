declare module '*/attention.json' {
  const kernels: { simd: string; relaxed: string };
  export default kernels;
}

declare module '*/whole.json' {
  const edits: { simd: string; relaxed: string };
  export default edits;
}

declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

declare module '*.wasm?module' {
  const module: WebAssembly.Module;
  export default module;
}
