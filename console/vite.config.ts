/** Builds the console into the slice that serves it: plain names, no hashes (the server hashes them all together). */
import { copyFileSync } from "node:fs";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

const web = "../src/rppam/console/web";

/** The one page, as it is: the server fills in where its files stand. */
function page(): Plugin {
  let out = web;
  return {
    name: "page",
    configResolved: (config) => {
      out = config.build.outDir;
    },
    closeBundle: () => copyFileSync("page.html", `${out}/page.html`),
  };
}

export default defineConfig({
  base: "./",
  plugins: [
    svelte({ compilerOptions: { css: "external" } }),
    page(),
  ],
  build: {
    outDir: web,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    rollupOptions: {
      input: { main: "src/main.ts", worker: "src/worker.ts" },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: (chunk) => `${chunk.name.toLowerCase().split(".")[0]}.js`,
        assetFileNames: (asset) => (asset.names[0]?.endsWith(".css") ? "main.css" : "[name][extname]"),
      },
    },
  },
});
