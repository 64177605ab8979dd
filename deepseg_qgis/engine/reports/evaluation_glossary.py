"""The words of the report of an evaluation, for somebody who maps and does not train."""

GLOSSARY = {
    "Reference": "What people annotated: the truth that the prediction is compared with.",
    "Area of interest (AOI)": "Where the comparison was made. Inside it, what is not annotated "
    "counts as background; objects with less than half of their area inside count neither way.",
    "IoU (intersection over union)": "The ground that two areas share, divided by the ground that "
    "at least one of them covers: 0 for strangers, 1 for twins. Two equal squares that lie a third "
    "of their side apart have an IoU of 0.5.",
    "Right, false alarm, missed": "A predicted object is right if its IoU with an object of the "
    "reference of the same category reaches the threshold, and no object with a higher score took "
    "that one. Every other predicted object is a false alarm, and every object of the reference "
    "that is left over was missed.",
    "Precision": "The share of the predicted that is right.",
    "Recall": "The share of the reference that was found.",
    "F1": "The balance (harmonic mean) of precision and recall. For areas it is called Dice.",
    "Count error": "By how much more objects are predicted than the reference has, as a share of "
    "the latter; with a minus, fewer.",
    "AP (average precision)": "Precision averaged over all recalls while objects are taken in by "
    "falling score. AP50 calls an object right from an IoU of 0.50; AP is the mean of ten "
    "thresholds from 0.50 to 0.95, so it also rewards accurate outlines. Computed by the rules of "
    "COCO, with no limit on the number of objects.",
    "mAP, mean IoU": "AP averaged over the categories that are counted, IoU over all, each with "
    "the same weight, however rare it is.",
    "PQ (panoptic quality)": "SQ times RQ, from 0 to 1: how well everything is found and outlined, "
    "in one number. A predicted object belongs to one of the reference if their IoU is above 0.50, "
    "whatever the threshold and the scores. A category whose objects are not counted, such as "
    "grass, is taken as one area in each raster.",
    "SQ (segmentation quality)": "The mean IoU of what belongs together.",
    "RQ (recognition quality)": "The F1 of what belongs together, however well it is outlined.",
    "Threshold": "How sure the model must be, from 0 to 1, before it draws a category.",
}

KINDS = {
    "right": "Its IoU with an object of the same category on the other side reaches the threshold, "
    "and it was matched to it.",
    "missed": "Of the reference, and nothing of the kinds below: nobody predicted it.",
    "false alarm": "Predicted, and nothing of the kinds below: the reference has no such object, "
    "or another prediction already stands for it.",
    "merged": "A prediction that holds at least half of each of several objects of the reference, "
    "and those objects.",
    "split": "An object of the reference that holds at least half of each of several predictions, "
    "and those predictions.",
    "wrong category": "Two objects whose IoU reaches the threshold, of different categories.",
    "badly outlined": "Two objects of one category whose IoU is at least 0.10 and below the "
    "threshold.",
}
"""The kinds of errors, as docs/evaluation.md defines them."""
