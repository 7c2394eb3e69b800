"""What the report of a study says beside its figures: the same for every run."""

INTRODUCTION = """\
A research note stands at the beginning of this project. It weighs three kinds of autoencoders for a picture cache,
chooses the convolutional one, and reports that a network between two of them "struggles at converging even after
multiple epochs of training". This page trains all of them, small and for equal times, so that the note's questions
have figures. `latentedge study autoencoders --data DIR --output DIR` makes the page, its tables and its pictures.

An autoencoder maps a picture to a code, a list of numbers, and back. *PSNR* says how near the result is to the
picture: 20 dB is a rough likeness, 30 dB is good, 40 dB is hard to tell apart. A *parameter* is one trained number
of a network."""

KINDS = """\
All kinds have codes of equal lengths: so many numbers for each cell of 16x16 pixels.

- *Fully connected*: every value of the picture is connected with every neuron of the first layer. The decoder is
  the mirror image. It has the fewest ideas about pictures and the most parameters.
- *Convolutional*: small filters that are the same everywhere in the picture, so that the count of parameters does
  not depend on its size.
- *Variational*: the convolutional one, but its encoder returns a mean and a variance for each number. Training
  draws the code from them, and keeps them near a standard normal distribution, the prior.
- *Linear*, as a yardstick: no network and no training, but the principal components of blocks of 16x16 pixels. They
  take a second to compute. The released codec starts from such a map, and its networks learn only what it misses."""

RECONSTRUCTIONS = """\
The pictures are scikit-image's: astronaut (NASA, public domain), coffee, chelsea and rocket (CC0)."""

INTERPOLATIONS = """\
Each row goes from one picture to another in equal steps. The first row mixes their pixels. In the other rows their
codes are mixed, and each mixture is decoded. An autoencoder whose codes mean something would show pictures between
the two and not a double exposure."""

SWEEP = """\
The loss of a variational autoencoder is the distortion plus beta times the KL divergence: the price, in nats, of a
code that is not like the prior (one nat is 1.44 bits). A larger beta saves nats and costs PSNR. Samples are codes
drawn from the prior and decoded. The convolutional autoencoder has no prior, so its decoder has never seen such
codes."""

CODEC = """\
The note calls the variational autoencoder "an interesting alternative solution". The released codec is one. A
variational autoencoder minimises the negative ELBO of a picture x, in nats:

    E[-log p(x | z)] + KL(q(z | x) || p(z))  =  |x - x_hat|^2 / (2 sigma^2) + KL + constant

The codec minimises bits per pixel + lambda * 255^2 * (mean squared error), over P pixels with three colours. Its
bits are estimated with uniform noise of width 1 in place of rounding, so q has density 1, and

    KL = E[log q(z | x) - log p(z)] = E[-log p(z)] = ln 2 * bits

Multiplied by P ln 2, the codec's loss is therefore a negative ELBO with

    1 / (2 sigma^2) = ln 2 * lambda * 255^2 / 3

One thing differs: the prior p. The variational autoencoders above have a fixed one, a standard normal distribution
for each number. The codec learns its prior: a second, smaller code (the hyper-latent) tells the expected size of
each number, and decoded neighbours tell its mean. An entropy coder turns -log p into real bytes, which no KL
divergence of normal distributions does by itself.

The table has both terms of both losses on the same pictures. The codec here is the medium autoencoder of the
released weights (172 px). The distortions of all rows are weighed by the lambda of one quality, so that their sums
compare."""

TRANSLATOR = """\
The note's third network takes the code of the high picture and predicts the code that the medium autoencoder would
have made, by a multilayer perceptron. The medium decoder then makes the picture. The note lists what was tried.
Each remedy is one change to the first line:

- *the note's MLP*: three layers, trained on the error between codes, both autoencoders frozen;
- *1* "standardize and normalize the data": both codes standardised, number by number;
- *2* "increase the capacity of the convolution network": both autoencoders have twice the channels;
- *3* "have a fully connected layer in the middle": of both autoencoders;
- *4* "fine-tuning the models": after half of the time, the MLP and the medium decoder are trained on pixels;
- *5* "alternate between training the" (the sentence ends there): turns of 25 steps, the MLP on the error between
  codes and the medium decoder on pixels;
- *6* "train the medium resolution to be able to decode high resolution from the start": the medium autoencoder
  begins with random weights and learns its own pictures and the translated codes together;
- *between two VAEs*, which the note has "yet to try", as smaller pictures;
- *second decoder head*, this project's way: no second code at all. A second decoder reads the high code and is
  trained on pixels, from a least-squares start; in the last line it is trained together with the code, as in the
  released codec.

Two levels stand beside the curves: what the medium autoencoder makes of its own codes, which bounds every
translator to frozen ones, and the high picture, decoded and resized by LANCZOS, which costs no translator."""

AGAIN = """\
`latentedge study autoencoders --data DIV2K --output runs/study` repeats all of this; `--minutes` sets the time of
all trainings together, and a second start continues a stopped one. The same comparison at the size of the released
codec, 344 px to 172 px, is in `docs/codec.md`."""
