#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-11%3
#SBATCH --comment='repghost:0123456789ab:ab12cd34 project 7'
#SBATCH --constraint='a100|h100'
#SBATCH --cpus-per-task=4
#SBATCH --error='/out/my study/jobs/20260101-000000-ab12cd34/%A_%a_0_log.err'
#SBATCH --exclude=node1,node2
#SBATCH --exclusive
#SBATCH --gpus-per-node=2
#SBATCH --gres=scratch:1
#SBATCH --job-name='my sweep'
#SBATCH --mail-type=FAIL
#SBATCH --mem=1536M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='/out/my study/jobs/20260101-000000-ab12cd34/%A_%a_0_log.out'
#SBATCH --partition=gpu,low
#SBATCH --qos=long
#SBATCH --signal=USR2@300
#SBATCH --time=90
#SBATCH --wckey=submitit

# setup
module load cuda
ulimit -n 4096
export PYTHONSAFEPATH=1 PYTHONPATH='/out/my study/code/9f'"${PYTHONPATH:+:$PYTHONPATH}"
ln -sfn start.pkl '/out/my study/jobs/20260101-000000-ab12cd34'/"${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"_submitted.pkl

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/out/my study/jobs/20260101-000000-ab12cd34/%A_%a_%t_log.out' --error '/out/my study/jobs/20260101-000000-ab12cd34/%A_%a_%t_log.err' apptainer exec --nv image.sif python -u -m submitit.core._submit '/out/my study/jobs/20260101-000000-ab12cd34'
