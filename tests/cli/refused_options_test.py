"""Options and configuration files that the program refuses."""

import support

# Options of `cnpd train`, and text that the message must contain.
TRAIN = [
    (["--epochs", "0"], "epochs"),
    (["--epochs", "100001"], "epochs"),
    (["--epochs", "many"], "--epochs"),
    (["--epochs", "99999999999999999999"], "epochs"),
    (["--batch-size", "0"], "batch-size"),
    (["--lr", "-0.1"], "lr"),
    (["--lr", "nan"], "lr"),
    (["--lr", "inf"], "lr"),
    (["--width", "0"], "width"),
    (["--width", "1025"], "width"),
    (["--train-limit", "-1"], "train-limit"),
    (["--test-limit", "-1"], "test-limit"),
    (["--image-size", "5000"], "image-size"),
    (["--eval-every", "-1"], "eval-every"),
    (["--seed", "-1"], "--seed"),
    (["--seed", "18446744073709551616"], "--seed"),
    (["--threads", "-1"], "--threads"),
    (["--threads", "100000"], "--threads"),
    (["--poison-ratio", "1.5"], "--poison-ratio"),
    (["--poison-ratio", "nan"], "--poison-ratio"),
    (["--target", "10"], "classes are 0 to 9"),
    (["--target", "-1"], "0 to 9"),
    (["--patch-size", "33"], "33"),
    (["--patch-size", "-1"], "-1"),
    (["--attack", "blended", "--blend-alpha", "1.01"], "--blend-alpha"),
    (["--attack", "blended", "--blend-alpha", "nan"], "--blend-alpha"),
    (["--attack", "blended", "--blend-pattern", "missing.png"], "missing.png"),
    (["--attack", "sig", "--attack-mode", "all-to-all"], "all-to-all"),
    (["--attack", "wanet"], "unknown attack 'wanet'; known: none, badnets"),
    (["--attack-mode", "one-to-one"], "unknown --attack-mode"),
    (["--model", "lenet"], "lenet"),
    (["--head", "cifar"], "head 'cifar' is not possible for preact-resnet18; --head is for vgg16-bn"),
    (["--model", "vgg19-bn", "--head", "linear"], "unknown head 'linear' of vgg19-bn; known: "),
    (["--dataset", "mnist"], "unknown --dataset 'mnist'"),
    (["--dataset", "cifar10"], "--dataset cifar10 needs --data"),
    (["--dataset", "cifar10", "--data", "missing"], "missing"),
    (["--recipe", "slow"], "slow"),
    (["--device", "tpu"], "tpu"),
    (["--precision", "fp16"], "unknown --precision 'fp16'; known: fp32, tf32, bf16"),
    (["--resume", "--overwrite"], "cannot be combined"),
    (["--config", "missing.toml"], "missing.toml"),
    (["--out", ""], "--out"),
    (["--epoch", "3"], "unknown option --epoch; did you mean '--epochs'?"),
    (["--blend-alpha", "0.1"], "--blend-alpha belongs to --attack blended, not to badnets"),
    (["--poison-ratio", "0.0001"], "poisons none; the smallest is"),
    (["more"], "more"),
]

DEFEND = [
    (["--method", "unlearning"], "unknown method 'unlearning'; known: r-cnpd, ensemble, a-cnpd, e-cnpd, npd, ft"),
    (["--insertion-point", "layer9.0.conv1"], "unknown insertion point 'layer9.0.conv1'; known:"),
    (["--clean-ratio", "0"], "clean-ratio"),
    (["--clean-ratio", "1.1"], "clean-ratio"),
    (["--clean-ratio", "nan"], "clean-ratio"),
    (["--clean-ratio", "0.001"], "is less than one image for each of 10 classes"),
    (["--hold-out", "0.95"], "hold-out"),
    (["--epochs", "0"], "epochs"),
    (["--warmup-epochs", "-1"], "warmup-epochs"),
    (["--batch-size", "0"], "batch-size"),
    (["--lr", "nan"], "lr"),
    (["--clip-norm", "-1"], "clip-norm"),
    (["--eval-every", "-1"], "eval-every"),
    (["--pgd-steps", "0"], "pgd-steps"),
    (["--pgd-step-size", "nan"], "pgd-step-size"),
    (["--pgd-radius", "-1"], "pgd-radius"),
    (["--pgd-norm", "l3"], "unknown --pgd-norm 'l3'; did you mean 'l2'? Known: l2, linf, l1"),
    (["--pgd-gradient", "cube"], "unknown --pgd-gradient"),
    (["--pgd-through", "nothing"], "unknown --pgd-through"),
    (["--strategy", "given"], "push-to"),
    (["--push-to", "10"], "--push-to 10: classes are 0 to 9"),
    (["--push-to", "-1"], "push-to"),
    (["--polarizer-bn", "thawed"], "unknown --polarizer-bn 'thawed'; known: frozen, eval, train"),
    (["--lambda-clean", "nan"], "lambda-clean"),
    (["--lambda-undo", "-1"], "lambda-undo"),
    (["--lambda-strongest", "inf"], "lambda-strongest"),
    (["--lambda-target", "1e30"], "lambda-target"),
    (["--method", "ensemble", "--top-k", "0"], "top-k"),
    (["--top-k", "3"], "--top-k belongs to --method ensemble, not to r-cnpd"),
    (["--method", "ft", "--pgd-steps", "1"], "--pgd-steps belongs to --method r-cnpd, ensemble,"),
    (["--pgd-step", "1"], "unknown option --pgd-step; did you mean '--pgd-steps'?"),
    (["--data", "missing", "--run", "missing"], "missing"),
]

# Names, contents, and text that the message must contain.
CONFIGS = [
    ("bad.toml", "epochs = = 3", "bad.toml"),
    ("bad.toml", "epochs = 3\nepochs = 4", "line 2"),
    ("bad.toml", "[train]\nepochs = 3\nno_such_key = 1", "unknown option 'no-such-key'"),
    ("bad.toml", "epochs = \"three\"", "epochs"),
    ("bad.toml", "epochs = 0", "epochs 0 is out of range"),
    ("bad.toml", "config = \"other.toml\"", "unknown option 'config'"),
    ("bad.toml", "\"a\\nb\" = 1", "bad.toml"),
    ("bad.toml", b"attack = \"\xff\"", "not UTF-8"),
    ("bad.json", "{\"epochs\": 3", "bad.json"),
    ("bad.json", "{\"epochs\": [[3]]}", "bad.json"),
    ("bad.json", "[1, 2]", "bad.json"),
    ("bad.json", "{\"no_such_key\": 1}", "unknown option 'no-such-key'"),
    ("bad.json", "[" * 100_000, "bad.json"),
    ("bad.json", "", "bad.json"),
    ("bad.toml", "[training]\nepochs = 3", "unknown table [training]; did you mean 'train'?"),
    ("bad.toml", "[train]\nepoch = 3", "unknown option 'epoch'; did you mean 'epochs'?"),
    ("bad.ini", "epochs = 3", ".toml or .json"),
    ("large.toml", "#" * (1 << 21), "at most"),
]


class RefusedOptions(support.ProgramTest):
    def test_info(self):
        self.refuse(["info", "--model", "lenet"], "unknown model 'lenet'; known: preact-resnet18, ")
        self.refuse(["info", "--model", "resnet18", "--head", "cifar"],
                    "--head is for vgg16-bn and vgg19-bn")
        self.refuse(["info", "--model", "resnet18", "--width", "0"], "width 0 is out of range")
        self.refuse(["info", "--model", "resnet18", "--classes", "1"], "1 classes")

    def test_no_or_unknown_subcommand(self):
        self.refuse([], "--help")
        self.refuse(["plant"], "plant")
        self.refuse(["--epochs", "3"], "--help")
        self.refuse(["train", "--epochs"], "--epochs")

    def test_train(self):
        for options, message in TRAIN:
            with self.subTest(" ".join(options)):
                self.refuse(support.train("out", *options), message, cwd=self.folder)

    def test_config_files(self):
        for name, contents, message in CONFIGS:
            with self.subTest(f"{name}: {contents[:40]!r}"):
                text = contents if isinstance(contents, bytes) else contents.encode()
                (self.folder / name).write_bytes(text)
                self.refuse(["train", "--out", "out", "--config", name], message, cwd=self.folder)

    def test_a_directory_for_a_config_file(self):
        (self.folder / "bad.toml").mkdir()
        self.refuse(["train", "--config", "bad.toml"], "is a directory", cwd=self.folder)


class RefusedOptionsOfRuns(support.RunsTest):
    def test_defend(self):
        for options, message in DEFEND:
            with self.subTest(" ".join(options)):
                self.refuse(support.defend(self.victim, "out", *options), message, cwd=self.folder)

    def test_others(self):
        for arguments in (["predict", "--run", self.victim],
                          ["predict", "--run", self.victim, "--top", "0", "image.png"],
                          ["report", "--run", self.victim, "--examples", "-1"],
                          ["evaluate"], ["report"], ["predict", "image.png"]):
            with self.subTest(arguments[0]):
                self.refuse(arguments, "see --help")


support.main()
