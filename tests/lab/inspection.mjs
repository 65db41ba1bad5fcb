// A proxy that ends TLS: it reads what clients send under a certificate of its own, and passes requests of HTTP on. Run
// with the server's address as its argument; it prints a line when it listens on port 8443.

import { connect, createServer } from 'node:tls';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [server] = process.argv.slice(2);
const METHODS = /^(GET|POST|PUT|PATCH|DELETE|OPTIONS|HEAD) /;

const folder = mkdtempSync(path.join(tmpdir(), 'visavis-inspection-'));
const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=inspection'], { stdio: 'ignore' });
const proxy = createServer({ key: readFileSync(key), cert: readFileSync(cert), ALPNProtocols: ['http/1.1'] }, (client) => {
  client.on('error', () => client.destroy());
  client.once('data', (first) => {
    if (!METHODS.test(first.toString('latin1'))) return client.destroy();
    const upstream = connect({ host: server, port: 443, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    upstream.write(first);
    client.pipe(upstream);
    upstream.pipe(client);
  });
});
rmSync(folder, { recursive: true, force: true });
// What does not begin a TLS handshake ends here.
proxy.on('tlsClientError', () => {});
proxy.listen(8443, '0.0.0.0', () => console.log('listening'));
