-- What the first version of the tables held: two keys (one revoked), a series with everything, a meeting with its reply, and one
-- that was called off. The years are far ahead, so that nothing is due while it is looked at.

INSERT INTO api_keys (id, hash, customer, scopes, note, created_at, revoked_at) VALUES (
    'key_6bdd6e270057',
    '4275c57774a5d721e96192945738887d4594e7632133a8671f6689a149325ff3',
    'acme',
    'meetings:write',
    'The shop',
    1795767717885,
    NULL
);
INSERT INTO api_keys (id, hash, customer, scopes, note, created_at, revoked_at) VALUES (
    'key_b5ad10e0095a',
    '5852f3d6f60c270c3d52bc3ff480c01c68ab248fa4a84f44a306a2436c815844',
    NULL,
    'admin',
    NULL,
    1795767717993,
    1795767718190
);
INSERT INTO meetings (id, owner, code, room, live, due_at, created_at, version, document) VALUES (
    'dmcsbks78vryd8nc',
    'acme',
    '3cp-xyc-yfm',
    'bs7v8cg5yhv3g4vyagpv',
    0,
    3699163800000,
    1795767718238,
    1,
    '{"id":"dmcsbks78vryd8nc","owner":"acme","code":"3cp-xyc-yfm","room":"bs7v8cg5yhv3g4vyagpv","life":"czfygxsp6w","title":"Planung für März; Teil 1","timeZone":"Europe/Berlin","hasTime":true,"firstStartsAt":"2087-03-21T09:00:00Z","startsAt":"2087-03-21T09:00:00Z","durationMinutes":30,"recurrence":"FREQ=WEEKLY;COUNT=3","capacity":8,"lobby":true,"password":"G7CN0AiVdYYxJBIKmH7cgQ","emptyTimeoutSeconds":1200,"attendees":[{"name":"Ada","email":"ada@example.net"}],"webhook":"ep_f0c06ac83fe42bb2405702ec","webhookUrl":"https://hooks.example/visavis","status":"planned","version":1,"sequence":0,"createdAt":"2026-11-27T08:21:58.238Z","updatedAt":"2026-11-27T08:21:58.238Z"}'
);
INSERT INTO meetings (id, owner, code, room, live, due_at, created_at, version, document) VALUES (
    'ggfz63p1j3bmw7qc',
    'acme',
    'r58-j9n-6n2',
    't5gzx41w8x7f29h7j39f',
    0,
    3702976200000,
    1795767718268,
    1,
    '{"id":"ggfz63p1j3bmw7qc","owner":"acme","code":"r58-j9n-6n2","room":"t5gzx41w8x7f29h7j39f","life":"n9919agnm1","title":"Once","timeZone":"Europe/Berlin","hasTime":true,"firstStartsAt":"2087-05-04T12:00:00Z","startsAt":"2087-05-04T12:00:00Z","durationMinutes":30,"lobby":false,"emptyTimeoutSeconds":600,"status":"planned","version":1,"sequence":0,"createdAt":"2026-11-27T08:21:58.268Z","updatedAt":"2026-11-27T08:21:58.268Z"}'
);
INSERT INTO meetings (id, owner, code, room, live, due_at, created_at, version, document) VALUES (
    'rjznjj3qcxy7phsq',
    'acme',
    'md2-6wp-3wk',
    'dgy988cf0dy4s1ng0140',
    0,
    NULL,
    1795767718273,
    2,
    '{"id":"rjznjj3qcxy7phsq","owner":"acme","code":"md2-6wp-3wk","room":"dgy988cf0dy4s1ng0140","life":"b543sdczqe","title":"Called off","timeZone":"Europe/Berlin","hasTime":true,"firstStartsAt":"2087-06-01T12:00:00Z","startsAt":"2087-06-01T12:00:00Z","durationMinutes":30,"lobby":false,"emptyTimeoutSeconds":600,"status":"cancelled","version":2,"sequence":1,"createdAt":"2026-11-27T08:21:58.273Z","updatedAt":"2026-11-27T08:21:58.277Z"}'
);
INSERT INTO replies (owner, idempotency_key, request, body, etag, created_at) VALUES (
    'acme',
    'once',
    '050a72ed4c0124f4351c159a76ab5080bdea0c293358d5e23e15ef32fd94c2cf',
    '{"meeting":"ggfz63p1j3bmw7qc","room":"t5gzx41w8x7f29h7j39f","code":"r58-j9n-6n2","joinUrl":"https://calls.example/m/ggfz63p1j3bmw7qc","hostUrl":"https://calls.example/m/ggfz63p1j3bmw7qc#host=JOCwB0nl4cLXTRtGSqQEyA7EebeImlIVtebJ6N5AUVogpNvxXUb7ja9U12uRM9jXomOzYgL8PhKyEl_of2ZWaF7Y7PRW7dm3rmRI0KXjeA","title":"Once","startsAt":"2087-05-04T12:00:00Z","endsAt":"2087-05-04T12:30:00Z","timeZone":"Europe/Berlin","durationMinutes":30,"state":"scheduled","capacity":null,"lobby":false,"hasPassword":false,"emptyTimeoutSeconds":600,"recurrence":null,"attendees":[],"webhookUrl":null,"sequence":0,"createdAt":"2026-11-27T08:21:58.268Z","updatedAt":"2026-11-27T08:21:58.268Z"}',
    '"1"',
    3700000000000
);
INSERT INTO endpoints (id, owner, url, secret, previous_secret, previous_until, disabled_at, created_at) VALUES (
    'ep_f0c06ac83fe42bb2405702ec',
    'acme',
    'https://hooks.example/visavis',
    'whsec_Oq1MDwMSfB+hMtnrmM50hSmHNB0FTtaPY/dSJmYGPBE=',
    NULL,
    NULL,
    NULL,
    1795767718239
);
INSERT INTO deliveries (id, endpoint, meeting, kind, body, created_at, attempts, due_at, delivered_at, last_status, last_error) VALUES (
    'msg_4fc9a03712e32b001c4ac6a3',
    'ep_f0c06ac83fe42bb2405702ec',
    'dmcsbks78vryd8nc',
    'meeting.created',
    '{"type":"meeting.created","timestamp":"2026-11-27T08:21:58.238Z","data":{"code":"3cp-xyc-yfm","endsAt":"2087-03-21T09:30:00Z","meeting":"dmcsbks78vryd8nc","room":"bs7v8cg5yhv3g4vyagpv","startsAt":"2087-03-21T09:00:00Z","state":"scheduled","title":"Planung für März; Teil 1"}}',
    1795767718238,
    1,
    NULL,
    1795767719300,
    204,
    NULL
);
