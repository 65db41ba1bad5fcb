-- Which server attempts a message, and until when: several servers may use one database.
ALTER TABLE deliveries ADD COLUMN claimed_by TEXT;
ALTER TABLE deliveries ADD COLUMN claimed_until BIGINT;
ALTER TABLE letters ADD COLUMN claimed_by TEXT;
ALTER TABLE letters ADD COLUMN claimed_until BIGINT;

-- The server on which a live meeting takes place.
ALTER TABLE meetings ADD COLUMN server TEXT;
