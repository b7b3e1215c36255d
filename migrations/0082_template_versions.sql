-- Why: templates of e-mails have a subject and HTML, and what templates were is kept.
-- Locks: templates, while it is read once for the new rules.

ALTER TABLE templates
    ADD subject text,
    ADD html text,
    ADD CONSTRAINT only_email_has_subject_and_html
        CHECK (CASE channel WHEN 'email' THEN subject IS NOT NULL ELSE subject IS NULL AND html IS NULL END);

-- What a template was after each save; `version` is the template's own.
CREATE TABLE template_versions (
    workspace_id uuid NOT NULL,
    template_id uuid NOT NULL,
    version int NOT NULL,
    name text NOT NULL,
    subject text,
    body text NOT NULL,
    html text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, template_id, version),
    FOREIGN KEY (workspace_id, template_id) REFERENCES templates ON DELETE CASCADE
);
SELECT protect('template_versions', 'SELECT, INSERT');
INSERT INTO template_versions (workspace_id, template_id, version, name, body, created_at)
    SELECT workspace_id, id, version, name, body, updated_at FROM templates;
