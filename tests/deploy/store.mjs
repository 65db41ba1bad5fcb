// A store that speaks S3: node store.mjs PORT FOLDER BUCKET ACCESS_KEY_ID SECRET_ACCESS_KEY

import { createRequire } from 'node:module';

const require = createRequire(new URL('../browser/package.json', import.meta.url));
const S3rver = require('s3rver');
const AWSAccount = require('s3rver/lib/models/account');
const [port, directory, bucket, id, secret] = process.argv.slice(2);
AWSAccount.registry.clear();
new AWSAccount('visavis', 'Visavis').createKeyPair(id, secret);
await new S3rver({ port: Number(port), address: '0.0.0.0', directory, silent: true, vhostBuckets: false, configureBuckets: [{ name: bucket }] }).run();
