// sharp's way to a collage, as a process that is asked: `node sharp.mjs FOLDER`. It speaks as ways.py does.
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const sharp = createRequire(join(process.env.SHARP, "package.json"))("sharp");
const CELL = 200, COLS = 7;
sharp.concurrency(1);
sharp.cache(false);

const folder = process.argv[2];
const files = readdirSync(folder).sort().map((name) => readFileSync(join(folder, name)));

const cell = (file) => sharp(file).resize(CELL, CELL, { fit: "cover" }).flatten().toColourspace("srgb").raw().toBuffer();

async function collage() {
  const raw = { width: CELL, height: CELL, channels: 3 };
  const cells = [];
  for (const file of files) cells.push(await cell(file));
  const layers = cells.map((input, i) => ({ input, raw, left: (i % COLS) * CELL, top: Math.floor(i / COLS) * CELL }));
  const canvas = { width: COLS * CELL, height: Math.ceil(files.length / COLS) * CELL, channels: 3, background: "white" };
  await sharp({ create: canvas }).composite(layers).jpeg({ quality: 95 }).toBuffer();
}

await collage();
console.log(JSON.stringify("ready"));
for await (const line of createInterface({ input: process.stdin })) {
  const [word, path] = line.trim().split(" ");
  if (word === "cells") {
    writeFileSync(path, Buffer.concat(await Promise.all(files.map(cell))));
    console.log(JSON.stringify(0));
  } else {
    const before = process.cpuUsage();
    await collage();
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify((user + system) / 1e6 + 1e-9));
  }
}
