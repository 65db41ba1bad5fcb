-- Ways into a meeting, one for each invited address.
CREATE TABLE invitations (
    code TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    meeting TEXT NOT NULL
);
CREATE INDEX invitations_by_meeting ON invitations (meeting);

-- Who is in a meeting, as far as webhooks were told.
CREATE TABLE presences (
    meeting TEXT NOT NULL,
    peer TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (meeting, peer)
);

-- What meetings are looked for by. Rows of before are filled in when a server starts.
ALTER TABLE meetings ADD COLUMN status TEXT;
ALTER TABLE meetings ADD COLUMN starts_at BIGINT;
ALTER TABLE meetings ADD COLUMN over_at BIGINT;
CREATE INDEX meetings_over ON meetings (over_at) WHERE over_at IS NOT NULL;
CREATE INDEX meetings_without_status ON meetings (id) WHERE status IS NULL;

-- What replies are about, to be erased with it.
ALTER TABLE replies ADD COLUMN meeting TEXT;
CREATE INDEX replies_by_meeting ON replies (meeting) WHERE meeting IS NOT NULL;
CREATE INDEX deliveries_by_meeting ON deliveries (meeting, position);
