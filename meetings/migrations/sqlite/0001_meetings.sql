-- Times are milliseconds since 1970, UTC. A meeting's document is its JSON; what is looked for stands beside it.
CREATE TABLE meetings (
    id TEXT PRIMARY KEY,
    owner TEXT,
    code TEXT NOT NULL UNIQUE,
    room TEXT NOT NULL UNIQUE,
    live BIGINT NOT NULL,
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX meetings_in_order ON meetings (created_at, id);
CREATE INDEX meetings_by_owner ON meetings (owner, created_at, id);
CREATE INDEX meetings_due ON meetings (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX meetings_live ON meetings (id) WHERE live = 1;

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    customer TEXT,
    scopes TEXT NOT NULL,
    note TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE replies (
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request TEXT NOT NULL,
    body TEXT,
    etag TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
CREATE INDEX replies_by_age ON replies (created_at);

CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until BIGINT,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (owner, url)
);

CREATE TABLE deliveries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL REFERENCES endpoints (id),
    meeting TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT,
    delivered_at BIGINT,
    last_status BIGINT,
    last_error TEXT
);
CREATE INDEX deliveries_waiting ON deliveries (meeting, position) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint, position);
