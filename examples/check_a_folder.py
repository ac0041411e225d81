"""Check a trained model without images, torch or nnU-Net: python check_a_folder.py MODEL.

MODEL is a folder with plans.json and fold_0, fold_1, ..., or a zip that nnUNetv2_export_model_to_zip wrote.
Exit status: 0 nothing harmful, 1 something harmful, 2 the model cannot be read.
"""

import sys

import nnguard

if __name__ == "__main__":
    try:
        findings = nnguard.check_model(sys.argv[1])
    except nnguard.CheckpointError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for finding in findings:
        print(f"{finding.code} ({finding.severity}): {finding.message}\n  {finding.remedy}")
    sys.exit(any(finding.severity == "harmful" for finding in findings))
