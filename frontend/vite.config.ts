import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import { defineConfig, type Plugin } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const notoDirectory = dirname(require.resolve("@fontsource-variable/noto-sans-jp/package.json"));

/**
 * Noto Sans JP as its publisher cuts it: one file per unicode-range, so a reader whose system has no Japanese
 * font fetches only the parts a page uses. Kept out of main.css, which every reader waits for.
 */
function notoSansJp(): Plugin {
  return {
    name: "noto-sans-jp",
    generateBundle() {
      const css = readFileSync(resolve(notoDirectory, "index.css"), "utf8");
      for (const [, file] of css.matchAll(/url\(\.\/files\/([\w.-]+)\)/g)) {
        const source = readFileSync(resolve(notoDirectory, "files", file));
        this.emitFile({ type: "asset", fileName: `fonts/${file}`, source });
      }
      const source = css.replaceAll("./files/", "./fonts/").replace(/\/\*.*?\*\/\n?/g, "");
      this.emitFile({ type: "asset", fileName: "fonts.css", source });
    },
  };
}

/**
 * Whole fonts for the PDFs that the server makes of contracts and statements. Not below dist: no reader fetches them.
 */
function documentFonts(): Plugin {
  return {
    name: "document-fonts",
    closeBundle() {
      const target = resolve(here, "document-fonts");
      mkdirSync(target, { recursive: true });
      for (const weight of ["400Regular", "700Bold"]) {
        const file = `NotoSansJP_${weight}.ttf`;
        copyFileSync(require.resolve(`@expo-google-fonts/noto-sans-jp/${weight}/${file}`), resolve(target, file));
      }
    },
  };
}

// Fixed names: Django's manifest storage adds the hash of the content when it collects static files.
export default defineConfig({
  root: here,
  base: "./",
  publicDir: resolve(here, "public"),
  plugins: [tailwindcss(), notoSansJp(), documentFonts()],
  build: {
    outDir: resolve(here, "dist"),
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: true,
    reportCompressedSize: false,
    rolldownOptions: {
      input: { main: resolve(here, "src/main.ts"), wallet: resolve(here, "src/wallet.ts") },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
