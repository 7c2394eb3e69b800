"""The text in the report of a study that is the same for every run."""

INTRODUCTION = """\
This project began with a research note. The note compares three kinds of autoencoders for a picture cache, chooses
the convolutional one, and reports that a network between two of them "struggles at converging even after multiple
epochs of training". For this page all of them were trained, small and for equal times, to answer the note's
questions with figures. `latentedge study autoencoders --data DIR --output DIR` makes the tables and the pictures.

An autoencoder maps a picture to a code, which is a list of numbers, and back. *PSNR* measures how close the result
is to the picture: at 20 dB it is a rough likeness, at 30 dB it is good, at 40 dB it is hard to tell apart. A
*parameter* is one trained number of a network."""

KINDS = """\
All kinds are compared at equal code lengths: the same count of numbers for each cell of 16x16 pixels.

- *Fully connected*: every value of the picture is connected to every neuron of the first layer. The decoder is the
  mirror image of the encoder. It makes the fewest assumptions about pictures, and has the most parameters.
- *Convolutional*: it applies the same small filters everywhere in the picture, so the number of parameters does not
  depend on the size of the picture.
- *Variational*: the convolutional one, but its encoder returns a mean and a variance for each number. Training
  draws the code from them, and keeps them near a standard normal distribution, the prior.
- *Linear*, as a baseline: the principal components of blocks of 16x16 pixels, without a network and without
  training. They take a second to compute. The released codec starts from such a map, and its networks learn only
  what the map misses."""

RECONSTRUCTIONS = """\
The pictures come from scikit-image: astronaut (NASA, public domain), coffee and chelsea (CC0), and in the last sheet
of this page also rocket (CC0)."""

INTERPOLATIONS = """\
Each row goes from one picture to another in equal steps. The first row mixes their pixels. In the other rows the
codes are mixed, and each mixture is decoded. If an autoencoder's codes had a meaning, it would show pictures between
the two and not a double exposure."""

SWEEP = """\
The loss of a variational autoencoder is the distortion plus beta times the KL divergence. The KL divergence is the
cost, in nats, of a code that differs from the prior (one nat is 1.44 bits). A larger beta saves nats and lowers the
PSNR. Samples are pictures decoded from codes that are drawn from the prior. The convolutional autoencoder has no
prior, so its decoder has never seen such codes."""

CODEC = """\
The note calls the variational autoencoder "an interesting alternative solution". The released codec is one. A
variational autoencoder minimises the negative ELBO of a picture x, in nats:

    E[-log p(x | z)] + KL(q(z | x) || p(z))  =  |x - x_hat|^2 / (2 sigma^2) + KL + constant

The codec minimises bits per pixel + lambda * 255^2 * (mean squared error), over P pixels with three colours. Its
bits are estimated with uniform noise of width 1 in place of rounding, so q has density 1, and

    KL = E[log q(z | x) - log p(z)] = E[-log p(z)] = ln 2 * bits

Multiplied by P ln 2, the codec's loss is therefore a negative ELBO with

    1 / (2 sigma^2) = ln 2 * lambda * 255^2 / 3

The only difference is the prior p. The variational autoencoders above have a fixed prior, a standard normal
distribution for each number. The codec learns its prior: a second, smaller code (the hyper-latent) predicts the
scale of each number, and decoded neighbours predict its mean. An entropy coder turns -log p into real bytes; a KL
divergence of normal distributions alone gives no bytes.

The table shows both terms of both losses on the same pictures. The codec here is the medium autoencoder of the
released weights (172 px). The distortions of all rows are weighted by the lambda of one quality, so that their sums
can be compared."""

TRANSLATOR = """\
The note's third network is a multilayer perceptron (MLP). It takes the code of the high picture and predicts the
code that the medium autoencoder would have made; the medium decoder then makes the picture. The note lists remedies
that were tried. Each remedy is one change to the first line:

- *the note's MLP*: three layers, trained on the error between codes, both autoencoders frozen;
- *1* "standardize and normalize the data": both codes standardised, number by number;
- *2* "increase the capacity of the convolution network": both autoencoders have twice the channels;
- *3* "have a fully connected layer in the middle": of both autoencoders;
- *4* "fine-tuning the models": after half of the time, the MLP and the medium decoder are trained on pixels;
- *5* "alternate between training the" (the sentence ends there): turns of 25 steps, the MLP on the error between
  codes and the medium decoder on pixels;
- *6* "train the medium resolution to be able to decode high resolution from the start": the medium autoencoder
  begins with random weights and learns its own pictures and the translated codes together;
- *between two VAEs*: the note lists variational autoencoders, and smaller pictures, under "have yet to try";
- *second decoder head*, the design of this project, without a second code: a second decoder reads the high code and
  is trained on pixels, from a least-squares start. In the last line it is trained together with the code, as in the
  released codec.

Two horizontal lines serve for comparison. The first is the PSNR that the medium autoencoder reaches from its own
codes: no translator to its frozen codes can be expected to do better. The second is the high picture, decoded and
resized by LANCZOS, which needs no translator."""

AGAIN = """\
`latentedge study autoencoders --data DIV2K --output runs/study` repeats the study. `--minutes` sets the time of all
trainings together, and a second start continues an interrupted run. The same comparison at the size of the released
codec, 344 px to 172 px, is in `docs/codec.md`."""
