import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Asset paths are relative, because the gateway may serve the page below any prefix. */
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: { outDir: "dist", emptyOutDir: true, target: "es2022" },
  server: { proxy: { "/ws": { target: "ws://127.0.0.1:8080", ws: true } } },
});
