-- Letters that wait for the mail server, whole; those about one meeting to one address leave in their order.
CREATE TABLE letters (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    meeting TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL
);
CREATE INDEX letters_due ON letters (due_at);
CREATE INDEX letters_in_order ON letters (meeting, recipient, position);
