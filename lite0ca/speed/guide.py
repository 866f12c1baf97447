"""The figures that the guide gives, as its own: quoted beside what is measured here.

It states neither data set nor batch size nor runtime.
"""

# system: (parameters in millions, accuracy in %, images/s on a T4, images/s on a CPU)
CLAIMS = {
    "EfficientNet_Lite0_CA": ("4.7", "90-92", "612", "~80"),
    "EfficientNetV2_S_CA": ("21.5", "93-95", "320", ""),
    "EfficientNetV2_S_Hybrid": ("24", "95-97", "250", ""),
    "MobileNetV3_Small_CA": ("2.8", "89-91", "450", "~60"),
    "MobileNetV3_Small_Hybrid": ("4", "91-93", "", "~45"),
    "ResNet18_ECA": ("", "91-93", "280", ""),
}
COLUMNS = (
    "guide_parameters_million",
    "guide_accuracy_percent",
    "guide_t4_images_per_s",
    "guide_cpu_images_per_s",
)
