-- What the second version of the tables held besides: a letter that waits for the mail server.

INSERT INTO letters (id, meeting, recipient, message, created_at, attempts, due_at) VALUES (
    'ltr_2f6b1c9d8e7a6b5c4d3e2f10',
    'dmcsbks78vryd8nc',
    'ada@example.net',
    'Subject: Planung',
    1795767718238,
    0,
    3699163800000
);
