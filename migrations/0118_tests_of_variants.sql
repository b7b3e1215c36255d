-- Why: a test may show a variant of the campaign's experiment. A test by mail is written when it is sent, and has to know then.
-- Locks: campaign_variants for a moment; the table is new.

CREATE TABLE test_variants (
    workspace_id uuid NOT NULL,
    message_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    place int NOT NULL,
    PRIMARY KEY (workspace_id, message_id),
    FOREIGN KEY (workspace_id, campaign_id, place) REFERENCES campaign_variants ON DELETE CASCADE
);
-- What is deleted with a variant is found by it.
CREATE INDEX test_variants_by_variant ON test_variants (workspace_id, campaign_id, place);
SELECT protect('test_variants', 'SELECT, INSERT');
