# shellcheck shell=bash
# Node.js as it is installed, and npm.
install nodejs || return
cd "$work" || return
js() { node -e "$@"; }

provoke node-rejection-unhandled js 'async function load() { throw new Error("no settings"); } load()'
provoke node-rejection-unhandled js 'Promise.reject({ code: 7 })'
provoke node-module-missing js 'require("absent-package")'
echo 'import "absent-package";' >app.mjs
provoke node-module-missing node app.mjs
echo 'import "./absent.js";' >near.mjs
provoke node-module-missing node near.mjs
provoke node-module-missing node absent.js
echo 'import fs from "fs";' >mixed.cjs
provoke node-module-kind-mixed node mixed.cjs
echo 'const fs = require("fs");' >mixed.mjs
provoke node-module-kind-mixed node mixed.mjs
echo 'export const a = 1;' >lib.mjs
provoke node-module-kind-mixed js 'require("./lib.mjs")'
echo 'let a: number = 1;' >app.ts
echo '{"type": "module"}' >package.json
provoke node-module-kind-mixed node app.ts
rm package.json
provoke node-old-cipher-refused js 'require("crypto").createHash("md4")'
provoke node-listeners-leak js 'const e = new (require("events"))(); for (let i = 0; i < 11; i++) e.on("data", () => {});'
provoke node-stack-exceeded js 'function f() { f(); } f()'
echo 'not a library' >native.node
provoke node-native-module-unfit js 'require("./native.node")'
provoke node-headers-sent js 'const http = require("http");
const s = http.createServer((q, r) => { r.end("one"); r.setHeader("a", "b"); }).listen(0, "127.0.0.1", () => http.get({ port: s.address().port, host: "127.0.0.1" }));'
provoke node-fetch-failed js 'fetch("http://127.0.0.1:4/")'
provoke node-option-refused node --no-such-option app.mjs
provoke node-option-refused env NODE_OPTIONS=--eval=1 node app.mjs
provoke node-buffer-too-large js '"x".repeat(2 ** 30)'
provoke node-buffer-too-large js 'new ArrayBuffer(2 ** 46)'
provoke node-buffer-too-large js 'Buffer.alloc(2 ** 40)'
provoke node-type-error js 'const user = undefined; console.log(user.name)'

mkdir -p pkg strict && cd pkg || return
echo '{"name": "shop", "version": "1.0.0", "scripts": {"build": "true"}}' >package.json
provoke npm-script-missing npm start
provoke npm-script-missing npm run serve
cd "$work/strict" || return
provoke npm-script-missing npm start
echo '{"name": "shop", "version": "1.0.0", "engines": {"node": ">=99"}}' >package.json
provoke npm-engine-unfit npm install --offline --engine-strict
provoke npm-engine-unfit npm install --offline
echo '{"name": "shop", "version": "1.0.0", "dependencies": {"left": "file:../left"}}' >package.json
mkdir -p ../left && echo '{"name": "left", "version": "1.0.0"}' >../left/package.json
provoke npm-lock-out-of-step npm ci --offline
echo '{"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "shop", "version": "1.0.0"}}}' >package-lock.json
provoke npm-lock-out-of-step npm ci --offline
cd "$work" || return
provoke node-exception js 'null.x'
provoke node-exception js 'new (require("events"))().emit("error", new Error("boom"))'
provoke node-heap-full node --max-old-space-size=20 -e 'const a = []; for (;;) a.push(new Array(1000).fill(1.5))'
provoke node-config-unreadable js 'JSON.parse("{\"port\": }")'
