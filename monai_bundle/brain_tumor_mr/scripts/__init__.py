"""Training, evaluation and reporting of the brain tumour bundle; inference needs nothing from here."""
