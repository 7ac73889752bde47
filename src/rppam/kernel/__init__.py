"""Words that everybody may use: time, secrets, errors, findings, logging, chance. Imports nothing else of ours."""
