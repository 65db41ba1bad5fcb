-- What the third version of the tables held besides: the state and time of each meeting, the meeting of a reply, and the way in of
-- an invited address.

UPDATE meetings SET status = 'planned', starts_at = 3699075600000 WHERE id = 'dmcsbks78vryd8nc';
UPDATE meetings SET status = 'planned', starts_at = 3702888000000 WHERE id = 'ggfz63p1j3bmw7qc';
UPDATE meetings SET status = 'cancelled', starts_at = 3705307200000, over_at = 3700000000000 WHERE id = 'rjznjj3qcxy7phsq';
UPDATE replies SET meeting = 'ggfz63p1j3bmw7qc' WHERE idempotency_key = 'once';
INSERT INTO invitations (code, id, meeting) VALUES ('k7d-2mq-w9f', 'x4t8r2n6v0c3h7p1', 'dmcsbks78vryd8nc');
