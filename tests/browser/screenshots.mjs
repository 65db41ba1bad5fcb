// Makes the pictures of the documentation from a real call: `node screenshots.mjs` writes docs/images.
//
// The people are drawn: each browser has a camera that shows a drawing.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import UPNG from 'upng-js';
import { join, launch, mediaFlows, newPage, Server, until, visit } from './harness.mjs';

const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url));
const ROOM = 'monday-coffee';
const DESKTOP = { width: 1200, height: 750 };
const PHONE = { width: 390, height: 844 };

const PEOPLE = [
  { name: 'Ada', wall: ['#f3c9a5', '#e59a7c'], skin: '#f0c2a2', hair: '#3c2a21', clothes: '#5a46d8', long: true },
  { name: 'Grace', wall: ['#bcd8d2', '#7fb0ab'], skin: '#e3b08c', hair: '#8a4b2a', clothes: '#f2694f', long: true },
  { name: 'Alan', wall: ['#c8cdea', '#8e97cf'], skin: '#c98e66', hair: '#1d1714', clothes: '#2c6e63', long: false },
  { name: 'Katherine', wall: ['#efe0b5', '#d8b86e'], skin: '#8d5a3b', hair: '#231813', clothes: '#9b3050', long: true },
];

/** A drawing of somebody at a desk, as a page. */
function drawing({ wall, skin, hair, clothes, long }) {
  const back = long ? `<path d="M470 330c0-130 75-205 170-205s170 75 170 205v230H470z" fill="${hair}"/>` : '';
  return `<body style="margin:0"><svg xmlns="http://www.w3.org/2000/svg" width="1280" height="720">
    <defs><linearGradient id="w" x1="0" y1="0" x2="1" y2="1"><stop stop-color="${wall[0]}"/><stop offset="1" stop-color="${wall[1]}"/></linearGradient></defs>
    <rect width="1280" height="720" fill="url(#w)"/>
    <rect x="90" y="90" width="230" height="290" rx="12" fill="#fff" opacity=".35"/>
    <g fill="#2f5d4a" opacity=".55"><ellipse cx="1010" cy="470" rx="34" ry="110"/><ellipse cx="950" cy="540" rx="30" ry="90" transform="rotate(-32 950 540)"/><ellipse cx="1070" cy="540" rx="30" ry="90" transform="rotate(32 1070 540)"/><rect x="945" y="610" width="130" height="110" rx="14"/></g>
    ${back}
    <path d="M330 720c10-150 120-210 310-210s300 60 310 210z" fill="${clothes}"/>
    <path d="M575 440h130v90c-20 45-110 45-130 0z" fill="${skin}"/>
    <path d="M575 470c40 35 90 35 130 0v25c-40 30-90 30-130 0z" fill="#000" opacity=".12"/>
    <ellipse cx="640" cy="335" rx="118" ry="148" fill="${skin}"/>
    <path d="M515 330c-12-130 60-190 130-190s135 60 122 190c-20-75-60-100-122-105-60 8-105 30-130 105z" fill="${hair}"/>
    <circle cx="594" cy="340" r="11" fill="#241a1a"/><circle cx="686" cy="340" r="11" fill="#241a1a"/>
    <path d="M572 312q22-14 44 0M664 312q22-14 44 0" stroke="${hair}" stroke-width="9" fill="none" stroke-linecap="round"/>
    <path d="M596 408q44 40 88 0" stroke="#7a2f2f" stroke-width="9" fill="none" stroke-linecap="round"/>
  </svg></body>`;
}

const folder = mkdtempSync(path.join(tmpdir(), 'visavis-cameras-'));
const server = await Server.start();
const painter = await launch();
const browsers = [];

/** A page whose camera shows the drawing of somebody. */
async function person(index, options) {
  const easel = await painter.newPage({ viewport: { width: 1280, height: 720 } });
  await easel.setContent(drawing(PEOPLE[index]));
  const frame = await easel.screenshot({ type: 'jpeg', quality: 90 });
  await easel.close();
  const camera = path.join(folder, `${index}.mjpeg`);
  writeFileSync(camera, Buffer.concat([frame, frame]));
  const browser = await launch({ flags: [`--use-file-for-fake-video-capture=${camera}`] });
  browsers.push(browser);
  return newPage(browser, { deviceScaleFactor: 1, reducedMotion: 'reduce', ...options });
}

const pictures = (page, others) =>
  until('every picture', () => page.locator('[data-peer] video').evaluateAll(
    (videos, count) => videos.length === count && videos.every((video) => video.videoWidth > 200), others));
const quiet = (page) => until('no notices', async () => (await page.locator('.toast').count()) === 0);
const shoot = async (page, name) => {
  await page.mouse.move(5, 5);
  const picture = UPNG.decode(await page.screenshot());
  // 256 colours are enough for drawings and writing, and a third of the bytes.
  const small = UPNG.encode(UPNG.toRGBA8(picture), picture.width, picture.height, 256);
  writeFileSync(path.join(IMAGES, `${name}.png`), Buffer.from(small));
};

mkdirSync(IMAGES, { recursive: true });
try {
  const landing = await newPage(painter, { viewport: DESKTOP });
  await landing.goto(server.url);
  await landing.getByRole('button', { name: 'Start a call' }).waitFor();
  await shoot(landing, 'landing-desktop');

  const ada = await person(0, { viewport: DESKTOP });
  await visit(ada, server.url, ROOM, { name: 'Ada', topology: 'mesh' });
  await until('the preview', () => ada.locator('.preview video').evaluate((video) => video.videoWidth > 0));
  await shoot(ada, 'prejoin-desktop');
  await ada.getByRole('button', { name: 'Join', exact: true }).click();
  await ada.getByRole('button', { name: 'Leave' }).waitFor();

  const grace = await person(1, { viewport: PHONE, colorScheme: 'dark' });
  await visit(grace, server.url, ROOM, { name: 'Grace' });
  await until('the preview', () => grace.locator('.preview video').evaluate((video) => video.videoWidth > 0));
  await shoot(grace, 'prejoin-phone');
  await grace.getByRole('button', { name: 'Join', exact: true }).click();
  await pictures(grace, 1);
  await mediaFlows(grace, 1);
  await quiet(grace);
  await shoot(grace, 'call-phone');

  const alan = await person(2, { viewport: DESKTOP, colorScheme: 'dark' });
  await join(alan, server.url, ROOM, { name: 'Alan' });
  await ada.getByRole('button', { name: 'People', exact: true }).click();
  await ada.getByText('Host controls').click();
  await ada.getByText('Let newcomers wait in the lobby').click();
  const katherine = await person(3, { viewport: PHONE });
  await visit(katherine, server.url, ROOM, { name: 'Katherine' });
  await katherine.getByRole('button', { name: 'Join', exact: true }).click();
  await katherine.getByRole('heading', { name: 'You are in the lobby' }).waitFor();
  await shoot(katherine, 'lobby-phone');
  await ada.getByRole('button', { name: 'Admit Katherine' }).waitFor();
  await pictures(ada, 2);
  await quiet(ada);
  await shoot(ada, 'lobby-desktop');
  await ada.getByRole('button', { name: 'Admit Katherine' }).click();
  await pictures(ada, 3);
  await alan.getByRole('button', { name: 'Raise hand' }).click();
  await ada.getByText('Host controls').click();
  await quiet(ada);
  await shoot(ada, 'people-desktop');
  await grace.getByRole('button', { name: 'People', exact: true }).click();
  await quiet(grace);
  await shoot(grace, 'people-phone');
  await grace.getByRole('button', { name: 'Close panel' }).click();
  await alan.getByRole('button', { name: 'Chat' }).click();
  await alan.getByRole('textbox', { name: 'Message' }).fill('Coffee is ready. Who has the agenda?');
  await alan.keyboard.press('Enter');
  await ada.getByRole('button', { name: 'Chat' }).click();
  await ada.getByRole('textbox', { name: 'Message' }).fill('I do, one moment!');
  await ada.keyboard.press('Enter');
  await alan.getByRole('log').getByText('one moment').waitFor();
  await mediaFlows(alan, 3);
  await pictures(alan, 3);
  for (const page of [ada, alan]) await quiet(page);
  await shoot(alan, 'call-dark');
  await ada.getByRole('button', { name: 'Close panel' }).click();
  await pictures(ada, 3);
  await shoot(ada, 'call-desktop');
} finally {
  for (const browser of [painter, ...browsers]) await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
