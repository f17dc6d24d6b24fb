// Link Debian's Chromium into Playwright's folder of downloaded browsers, at the image's build.
//     node browsers.js PACKAGE
const fs = require("fs");
const path = require("path");
const { registry } = require(`${process.argv[2]}/lib/coreBundle.js`).registry;

for (const name of ["chromium", "chromium-headless-shell"]) {
    const browser = registry.findExecutable(name);
    const executable = browser.executablePath();
    fs.mkdirSync(path.dirname(executable), { recursive: true });
    fs.symlinkSync("/usr/bin/chromium", executable);
    fs.writeFileSync(`${browser.directory}/INSTALLATION_COMPLETE`, ""); // so `playwright install` downloads no other
}
