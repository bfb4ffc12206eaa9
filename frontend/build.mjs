// Builds the page into the package, where it ships; users need no npm.
import { build } from "esbuild";
import { copyFile } from "node:fs/promises";

const out = process.argv[2] ?? "../src/selfvos/web/static";
await build({
  entryPoints: { app: "src/main.ts", style: "src/style.css" },
  bundle: true,
  minify: true,
  legalComments: "none",
  format: "esm",
  target: "es2022",
  outdir: out,
});
await copyFile("src/index.html", `${out}/index.html`);
await copyFile("src/icon.svg", `${out}/icon.svg`);
