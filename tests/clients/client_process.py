"""One client of nnU-Net's predictor, as its own software drives it. Usage: CLIENT MODEL IMAGE OUTPUT MODE.

Prints one line of JSON: the codes it was refused with, and what its segmentation is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path


def totalsegmentator(model: Path, image: Path, output: Path, _mode: str) -> None:
    """Its patch module replaces five ``predict_*`` after the guard was armed; then as its ``nnUNetv2_predict``."""
    from totalsegmentator.nnunet_runtime_patches import patch_nnunet_cropped_logits_resampling

    assert patch_nnunet_cropped_logits_resampling()
    _as_totalsegmentator(model, image, output)


def totalsegmentator_first(model: Path, image: Path, output: Path, mode: str) -> None:
    """The same, with the guard armed when the methods are replaced already."""
    import nnguard

    nnguard.uninstall()
    from totalsegmentator.nnunet_runtime_patches import patch_nnunet_cropped_logits_resampling

    assert patch_nnunet_cropped_logits_resampling()
    nnguard.install(mode)
    _as_totalsegmentator(model, image, output)


def _as_totalsegmentator(model: Path, image: Path, output: Path) -> None:
    made = _predictor()
    made.initialize_from_trained_model_folder(str(model), use_folds=("all",), checkpoint_name="checkpoint_final.pth")
    made.predict_from_files(
        [[str(image)]],
        [str(output / "case")],
        save_probabilities=False,
        num_processes_preprocessing=1,
        num_processes_segmentation_export=1,
        use_cropped_logits_resampling=True,
    )


def hd_bet(model: Path, image: Path, output: Path, _mode: str) -> None:
    """Its own predictor and prediction; only the numbers of processes (4 and 8) are made small."""
    import torch
    from HD_BET import hd_bet_prediction

    hd_bet_prediction.folder_with_parameter_files = str(model)
    made = hd_bet_prediction.get_hdbet_predictor(use_tta=True, device=torch.device("cpu"))
    predict = made.predict_from_files

    @functools.wraps(predict)  # nnU-Net reads the signature
    def with_few_processes(*arguments, **options):
        return predict(
            *arguments, **options | {"num_processes_preprocessing": 1, "num_processes_segmentation_export": 1}
        )

    made.predict_from_files = with_few_processes
    hd_bet_prediction.hdbet_predict(
        str(image), str(output / "case.nii.gz"), made, keep_brain_mask=True, compute_brain_extracted_image=False
    )


def own_iterator(model: Path, image: Path, output: Path, _mode: str) -> None:
    """As MOOSE does: preprocessing of its own, handed to ``predict_from_data_iterator``."""
    made = _predictor()
    made.initialize_from_trained_model_folder(str(model), use_folds=("all",), checkpoint_name="checkpoint_final.pth")
    preprocessor = made.configuration_manager.preprocessor_class(verbose=False)

    def cases():
        import torch

        data, _, properties = preprocessor.run_case(
            [str(image)], None, made.plans_manager, made.configuration_manager, made.dataset_json
        )
        yield {
            "data": torch.from_numpy(data).contiguous(),
            "data_properties": properties,
            "ofile": str(output / "case"),
        }

    made.predict_from_data_iterator(cases(), save_probabilities=False, num_processes_segmentation_export=1)


def axes_for_each_case(model: Path, image: Path, output: Path, _mode: str) -> None:
    """As autoPET's scripts do: loads without mirroring, then sets axes before each case."""
    import SimpleITK

    made = _predictor(use_mirroring=False)
    made.initialize_from_trained_model_folder(str(model), use_folds=("all",), checkpoint_name="checkpoint_final.pth")
    made.use_mirroring = True
    made.allowed_mirroring_axes = (0, 1, 2)
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    data, properties = SimpleITKIO().read_images([str(image)])
    predicted = made.predict_single_npy_array(data, properties)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(predicted), str(output / "case.nii.gz"))


def monai(model: Path, image: Path, output: Path, _mode: str) -> None:
    """A bundle as MONAI's own conversion writes it, and its wrapper, on the CPU and with mirroring."""
    import os

    os.environ.update(nnUNet_results=str(model.parents[1]))
    import SimpleITK
    import torch
    from monai.apps.nnunet import nnunet_bundle
    from monai.data import MetaTensor

    bundle = output / "bundle"
    (bundle / "models").mkdir(parents=True)
    trainer, plans, configuration = model.name.split("__")
    names = {"nnunet_trainer": trainer, "nnunet_plans": plans, "nnunet_configuration": configuration}
    names["dataset_name_or_id"] = model.parent.name
    load = torch.load
    # nnU-Net's own log holds numpy scalars, which its conversion would refuse to load.
    torch.load = lambda *arguments, **options: load(*arguments, **options | {"weights_only": False})
    nnunet_bundle.convert_nnunet_to_monai_bundle(names, str(bundle), fold="all")
    torch.load = load
    _as_older_nnunets_build_networks()
    wrapper = nnunet_bundle.get_nnunet_monai_predictor(bundle / "models" / "fold_all")
    wrapper.predictor.device, wrapper.predictor.perform_everything_on_device = torch.device("cpu"), False
    wrapper.predictor.use_mirroring = True  # MONAI's own is without
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(image))).astype("float32")
    answer = wrapper(MetaTensor(torch.from_numpy(array)[None, None], meta={}))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(answer.numpy()[0, 0]), str(output / "case.nii.gz"))


def _as_older_nnunets_build_networks() -> None:
    """MONAI calls this as nnU-Net 2.5 to 2.7 had it: by the architecture, where 2.8 takes the plans."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    def build(*architecture, enable_deep_supervision):
        return get_network_from_plans(*architecture, deep_supervision=enable_deep_supervision)

    nnUNetTrainer.build_network_architecture = staticmethod(build)


def _predictor(**options):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    return nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, **options)


CLIENTS = {
    client.__name__: client
    for client in (totalsegmentator, totalsegmentator_first, hd_bet, own_iterator, axes_for_each_case, monai)
}


def main(client: str, model: str, image: str, output: str, mode: str) -> None:
    refused = None
    try:
        CLIENTS[client](Path(model), Path(image), Path(output), mode)
    except Exception as error:
        if not hasattr(error, "findings"):
            raise
        refused = sorted({finding.code for finding in error.findings})
    print("CAME " + json.dumps({"refused": refused, "segmentation": _digest(Path(output))}), flush=True)


def _digest(output: Path) -> str | None:
    import SimpleITK

    found = sorted(output.glob("case*.nii.gz"))
    if not found:
        return None
    return hashlib.sha256(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(found[0]))).tobytes()).hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
