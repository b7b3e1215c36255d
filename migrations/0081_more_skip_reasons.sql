-- Why: messages are left out for more reasons: held out, over a cap, a budget or a month's limit, outside the hours in which
-- they may be sent, too late.
-- Locks: messages, while its rows are read once; it blocks writers for that long.

ALTER TABLE messages DROP CONSTRAINT skip_reason_is_known;
ALTER TABLE messages ADD CONSTRAINT skip_reason_is_known CHECK (skip_reason IN ('no_address', 'invalid_address', 'no_consent',
    'opted_out', 'suppressed', 'duplicate_address', 'empty_text', 'text_too_long', 'contact_deleted', 'address_changed',
    'campaign_cancelled', 'holdout', 'over_cap', 'over_budget', 'over_monthly_limit', 'quiet_hours', 'too_late',
    'template_failed'));
