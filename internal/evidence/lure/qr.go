package lure

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // what mails hold
	_ "image/jpeg" //
	_ "image/png"  //
	"strings"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/multi/qrcode"
	single "github.com/makiuchi-d/gozxing/qrcode"

	"github.com/impound/impound/internal/pdfread"
)

const (
	maxPixels = 40_000_000
	maxSide   = 1600 // pictures are made smaller before they are looked at
)

func isImage(b []byte) bool {
	_, _, err := image.DecodeConfig(bytes.NewReader(b))
	return err == nil
}

// pictures looks for QR codes in a picture; raw is one of a PDF.
func (a *analyser) pictures(at, n int, b []byte, raw *pdfread.Image) {
	if a.images++; a.images > maxImages {
		a.problem("the mail has more than %d pictures: the rest was not looked at for QR codes", maxImages)
		return
	}
	var im image.Image
	if raw != nil && raw.Grey != nil {
		im = &image.Gray{Pix: raw.Grey, Stride: raw.Width, Rect: image.Rect(0, 0, raw.Width, raw.Height)}
	} else {
		c, _, err := image.DecodeConfig(bytes.NewReader(b))
		if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
			return
		}
		if im, _, err = image.Decode(bytes.NewReader(b)); err != nil {
			a.problem("a picture can't be read")
			return
		}
	}
	for _, text := range codes(im) {
		where := fmt.Sprintf("QR code, attachment %d", n)
		if strings.HasPrefix(strings.ToLower(text), "http://") || strings.HasPrefix(strings.ToLower(text), "https://") {
			a.link(at, strings.ToLower(text[:8])+text[8:], where, "")
		} else if m := linkRule().FindString(text); m != "" {
			a.link(at, m, where, "")
		} else {
			a.problem("%s holds no link", where)
		}
	}
}

// smaller gives a grey picture of at most maxSide, on white where it is clear,
// with a margin: codes that touch the edge are found too.
func smaller(im image.Image) *image.Gray {
	const margin = 16
	b := im.Bounds()
	step := max(1, (max(b.Dx(), b.Dy())+maxSide-1)/maxSide)
	out := image.NewGray(image.Rect(0, 0, b.Dx()/step+2*margin, b.Dy()/step+2*margin))
	for i := range out.Pix {
		out.Pix[i] = 255
	}
	for y := range b.Dy() / step {
		for x := range b.Dx() / step {
			r, g, bl, al := im.At(b.Min.X+x*step, b.Min.Y+y*step).RGBA()
			lum := (r*299 + g*587 + bl*114) / 1000
			lum += 0xffff - al
			out.SetGray(x+margin, y+margin, color.Gray{uint8(min(lum, 0xffff) >> 8)})
		}
	}
	return out
}

// codes gives the texts of the QR codes in a picture. The reader is somebody
// else's and meets hostile pictures: a panic of it is no code.
func codes(im image.Image) (out []string) {
	defer func() {
		if recover() != nil {
			out = append(out[:0:0], out...)
		}
	}()
	src := gozxing.NewLuminanceSourceFromImage(smaller(im))
	for _, s := range []gozxing.LuminanceSource{src, src.Invert()} {
		bmp, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(s))
		if err != nil {
			continue
		}
		rs, err := qrcode.NewQRCodeMultiReader().DecodeMultiple(bmp, nil)
		if err != nil || len(rs) == 0 {
			if r, err := single.NewQRCodeReader().Decode(bmp, map[gozxing.DecodeHintType]interface{}{gozxing.DecodeHintType_TRY_HARDER: true}); err == nil {
				rs = []*gozxing.Result{r}
			}
		}
		for _, r := range rs {
			if t := r.GetText(); t != "" && len(out) < 20 {
				out = append(out, t)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return out
}
