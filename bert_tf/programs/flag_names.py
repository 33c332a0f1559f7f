"""Names that other programs have for our flags.

    SYNONYMS["epochs"]       ("num_train_epochs", "num_train_steps")

A program suggests the first flag that it has. Misspelt names are found without
this table.
"""

# {flags: what they are called elsewhere}.
_MEANINGS = {
    # Files and folders.
    "bert_config_file": (
        "config config_file config_name config_path bert_config"
    ),
    "data_dir train_file input_file": "data dataset data_path dataset_name",
    "dev_file eval_input_file predict_file": (
        "validation_file valid_file val_file eval_file dev_data"
    ),
    "init_checkpoint model": (
        "model model_name model_path model_name_or_path checkpoint ckpt "
        "checkpoint_path pretrained pretrained_model bert bert_model bert_dir "
        "weights base_model load_from"
    ),
    "input_file input train_file": "input inputs corpus in_file infile file",
    "output_dir output_file output export_dir output_checkpoint": (
        "output out out_dir outdir out_file outfile save_dir save_path "
        "save_to model_dir logdir log_dir logging_dir output_path target o"
    ),
    "predict_file test_file": "test_data",
    "task_name": "task problem",
    "train_file data_dir input_file": (
        "train_data train_path training_file training_data train_csv"
    ),
    "vocab_file": "vocab vocabulary tokenizer tokenizer_name vocab_path",
    # The modes of a run.
    "do_train train_file": "train training fit",
    "do_eval": "eval evaluate evaluation validate dev",
    "do_predict test_file": "predict prediction test infer inference",
    "do_export": "export save_model",
    # Texts.
    "max_seq_length": (
        "max_length max_len maxlen seq_length seq_len sequence_length "
        "max_seq_len max_sequence_length length block_size truncation"
    ),
    "do_lower_case": "lower lowercase lower_case do_lowercase uncased cased",
    "strip_accents": "accents remove_accents drop_accents",
    "tokenize_chinese_chars": (
        "chinese handle_chinese_chars tokenize_cjk split_on_cjk"
    ),
    "text_column": "text text_col sentence_column sentence1_key text_a",
    "text_pair_column": "text_pair text_b sentence2_key second_text",
    "label_column": "label label_col target_column class_column",
    "label_delimiter": "label_separator label_sep",
    "delimiter": "sep separator",
    "xnli_language": "lang language",
    # Training.
    "learning_rate": "lr rate",
    "num_train_epochs num_train_steps": (
        "epochs epoch num_epochs n_epochs max_epochs train_epochs nepochs"
    ),
    "num_train_steps num_train_epochs": "steps max_steps train_steps n_steps",
    "train_batch_size batch_size max_batch_size": (
        "batch_size batch bs train_batch per_device_train_batch_size "
        "per_gpu_train_batch_size"
    ),
    "eval_batch_size": "per_device_eval_batch_size per_gpu_eval_batch_size",
    "warmup_proportion num_warmup_steps": "warmup warmup_ratio warm_up",
    "num_warmup_steps warmup_proportion": "warmup_steps",
    "seed random_seed": "random_seed random_state rng_seed",
    "optimizer": "optim",
    "classifier_dropout": "dropout dropout_rate",
    "freeze_layers": "freeze freeze_encoder frozen freeze_bert",
    "early_stopping_patience": "patience early_stopping",
    "save_checkpoints_steps": "save_steps checkpoint_steps save_every",
    "keep_checkpoints": "save_total_limit keep_checkpoint_max",
    "eval_steps": "evaluation_steps eval_every evaluation_strategy",
    "metric_for_best": "metric monitor metric_for_best_model",
    "resume": "resume_from_checkpoint overwrite_output_dir",
    "gradient_accumulation_steps": (
        "grad_accum accumulation_steps accumulate_grad_batches"
    ),
    "class_weights": "class_weight weights_of_classes",
    "teacher": "teacher_model teacher_path teacher_model_name_or_path",
    "distill_weight": "alpha alpha_ce distillation_weight",
    "distill_temperature": "distillation_temperature",
    "unlabelled_file": "unlabeled_file unlabelled unlabeled",
    # Devices.
    "precision export_precision": "fp16 bf16 amp mixed_precision dtype",
    "remat": "gradient_checkpointing activation_checkpointing",
    "xla": "jit_compile jit compile",
    "distribution_strategy": "gpus num_gpus gpu device devices strategy",
    "use_tpu": "tpu",
    # Tools.
    "top_k": "k topk n num_predictions",
    "pooling": "pool pooling_strategy",
    "port": "p http_port",
}

SYNONYMS = {
    word: tuple(meant.split())
    for meant, words in _MEANINGS.items()
    for word in words.split()
}
