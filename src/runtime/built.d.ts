declare module '*/kernels.json' {
  const kernels: { simd: string; relaxed: [string, number, number][] };
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
