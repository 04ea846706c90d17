"""Where they run: processes of this machine, or jobs of a SLURM cluster."""
