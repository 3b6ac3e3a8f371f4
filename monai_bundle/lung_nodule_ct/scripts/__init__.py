"""Training, evaluation and reporting of the lung nodule bundle; inference needs nothing from here."""
