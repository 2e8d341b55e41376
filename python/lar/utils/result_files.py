"""The files by which the results of each stage are known.

They are here for all who look for results: a stage imports no later one, and some of the modules that write
them load torch.
"""

RUN_FILE = "run.json"  # of `lar run`, and of the checkpoints of a training
CORPUS_FILE = "manifest.json"
VOCABULARY_FILE = "latent_vocabulary.json"
ADAPTATION_FILE = "adaptation.json"
STUDENT_FILE = "distillation.json"
ROWS_FILE = "latent_rows.safetensors"  # of a student with latents
EXPORT_FILE = "lar_export.json"
SWEEP_FILE = "sweep.json"
SWEEP_RESULT_FILE = "result.json"
DEMO_FILE = "demo.json"
