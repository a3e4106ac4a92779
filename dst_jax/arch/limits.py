"""Upper bounds of an architecture's numbers, from the largest networks in use.

Each bound leaves room above the largest published tracker or classifier. Beyond it a
number is a slip or damage, which would otherwise show itself deep in a computation or
as memory that no machine has.
"""

# Trackers read crops of up to 384 px, classifiers of up to 1,024 px.
MAX_CROP_PX = 2_048
# ResNets have up to 2,048 channels, the widest 8,192; the head of SiamRPNBIG has a
# convolution with 10,240.
MAX_WIDTH = 65_536
# Kernels of up to 61 cells were published.
MAX_KERNEL = 255
# ResNet-1001 is the deepest that is well known.
MAX_LAYERS = 1_001
# Of a chain of convolutions; float32 weights of 4 GB. Public trackers have up to 10^8.
MAX_PARAMETERS = 10**9
# Of one feature map of one image; 4 GB as float32. SiamFC's largest has 1.5 x 10^6.
MAX_MAP_VALUES = 2**30
# Anchors per cell, where trackers have 5 and detectors up to 25.
MAX_ANCHORS = 100
# The ratios and sizes of anchors, and the factors by which crops exceed the target.
MAX_FACTOR = 1_000.0
# Least number by which anything is divided: far below all in use, far above the least
# float32.
LEAST = 1e-12
# Numbers by which colours and correlations are scaled.
MAX_SCALE = 1e6
